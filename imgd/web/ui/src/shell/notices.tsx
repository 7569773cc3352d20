// Words to the person at the foot of the stage: what was done is said politely, what went wrong at once.
import { dismiss, useStore } from "../state/store";
import { Icon } from "./icons";
import "./notices.css";

export function Notices() {
  const notices = useStore((state) => state.notices);
  return (
    <div className="notices">
      <NoticeList role="status" notices={notices.filter(({ kind }) => kind === "info")} />
      <NoticeList role="alert" notices={notices.filter(({ kind }) => kind === "wrong")} />
    </div>
  );
}

/** The list is there before its words are: screen readers tell what is added to it. */
function NoticeList({ role, notices }: { role: "status" | "alert"; notices: readonly { id: number; text: string }[] }) {
  return (
    <div role={role}>
      {notices.map(({ id, text }) => (
        <p key={id} className={`notice said-${role}`}>
          <span className="grow">{text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(id)}>
            <Icon name="close" />
          </button>
        </p>
      ))}
    </div>
  );
}
