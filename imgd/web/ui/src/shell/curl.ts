// A command line that fetches what is seen, for the shells of Unix.

/** A word that a shell takes as it is. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** `--globoff`: brackets in an address are meant as they are. */
export function curlLine(url: string, file: string): string {
  return `curl --fail --globoff ${quoted(url)} --output ${quoted(file)}`;
}
