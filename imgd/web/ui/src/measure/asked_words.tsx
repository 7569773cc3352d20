// What is said of a question: that it takes its time, or why there is no answer, with a way to try again.
import type { Answered } from "./asking";
import { useSlow } from "./asking";

export function AskedWords<T>({ asked, what }: { asked: Answered<T>; what: string }) {
  const slow = useSlow(asked.asking);
  if (asked.trouble) {
    return (
      <p className="asked wrong" role="alert">
        {asked.trouble.title}
        {asked.trouble.text && `: ${asked.trouble.text}`}{" "}
        <button type="button" className="plain" onClick={asked.retry}>
          Try again
        </button>
      </p>
    );
  }
  return slow ? (
    <p className="asked quiet" role="status">
      {what}… <progress aria-label={what} />
    </p>
  ) : null;
}

/** A table of names and numbers, which can be copied. */
export function Figures({ rows }: { rows: readonly (readonly [name: string, value: string])[] }) {
  return (
    <table className="numbers">
      <tbody>
        {rows.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function figuresText(rows: readonly (readonly [string, string])[]): string {
  return rows.map((row) => row.join("\t")).join("\n");
}
