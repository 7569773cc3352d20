// A dialog over the page: the browser keeps the focus in it, closes it by Escape, and gives the focus back.
import { useEffect, useId, useRef, type ReactNode } from "react";
import { Icon } from "./icons";
import "./dialog.css";

interface Props {
  open: boolean;
  title: string;
  className: string;
  onClose: () => void;
  children: ReactNode;
}

export function Dialog({ open, title, className, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
    if (!open && dialog.current?.open) dialog.current.close();
  }, [open]);
  const besides = (event: React.MouseEvent): void => {
    if (event.target === dialog.current) onClose();
  };
  return (
    <dialog ref={dialog} className={className} aria-labelledby={id} onClose={onClose} onClick={besides}>
      {open && (
        <div className="dialog">
          <div className="row head">
            <h2 id={id} className="grow">{title}</h2>
            <button type="button" className="key-button" aria-label="Close" title="Close (Esc)" onClick={onClose}>
              <Icon name="close" />
            </button>
          </div>
          {children}
        </div>
      )}
    </dialog>
  );
}
