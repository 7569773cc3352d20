// Which folder to follow: the way down to it, the folders in it, and a button.
import { crumbsOf, shownName } from "../frames/names";
import type { Folder } from "./folder";

interface Props {
  dir: string;
  folder: Folder | null;
  onGo: (dir: string) => void;
  onFollow: (dir: string) => void;
}

export function FolderChoice({ dir, folder, onGo, onFollow }: Props) {
  const crumbs = [{ ref: "", name: "All" }, ...crumbsOf(dir)];
  return (
    <section aria-label="Folder to follow" className="folder-choice">
      <p className="quiet">Show each new frame of a folder the moment it is there.</p>
      <nav aria-label="Folder" className="crumbs">
        {crumbs.map(({ ref, name }, at) => (
          <span key={ref}>
            {at > 0 && <span aria-hidden="true" className="quiet">/</span>}
            <button type="button" aria-current={ref === dir ? "location" : undefined} disabled={ref === dir} onClick={() => onGo(ref)}>{name}</button>
          </span>
        ))}
      </nav>
      {folder === null && <p className="quiet" role="status">Reading the folder…</p>}
      {folder !== null && folder.dirs.length > 0 && (
        <ul className="folders" aria-label="Folders in it">
          {folder.dirs.map(({ ref, name }) => (
            <li key={ref}>
              <button type="button" className="cut" onClick={() => onGo(ref)}><span aria-hidden="true">▸ </span>{name}</button>
            </li>
          ))}
        </ul>
      )}
      {dir !== "" && (
        <>
          <p className="quiet cut">{folder && framesIn(folder)}</p>
          <button type="button" className="plain big follow-this" onClick={() => onFollow(dir)}>
            <span aria-hidden="true">▶</span> <span className="cut">Follow {shownName(dir)}</span>
          </button>
        </>
      )}
    </section>
  );
}

function framesIn({ frames, trouble }: Folder): string {
  if (trouble) return "";
  const newest = frames[0];
  return newest ? `Newest: ${newest.name}` : "No frames yet; the first one is shown when it comes";
}
