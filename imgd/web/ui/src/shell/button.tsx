// A button of the page's frame: an icon that says by its label and title what it does and by which key.
import { Icon, type IconName } from "./icons";
import { KEYS, titleOf, type KeyName } from "./keys_table";

interface Props {
  name: KeyName;
  icon: IconName;
  pressed?: boolean;
  disabled?: boolean;
  words?: string; // beside the icon
  className?: string;
}

/** Does what the key of that name does. */
export function KeyButton({ name, icon, pressed, disabled, words, className }: Props) {
  return (
    <button
      type="button"
      data-key={name}
      className={`key-button ${className ?? ""}`}
      aria-label={KEYS[name].words}
      aria-pressed={pressed}
      aria-keyshortcuts={shortcut(KEYS[name].keys[0] ?? "")}
      title={titleOf(name)}
      disabled={disabled}
      onClick={() => KEYS[name].run()}
    >
      <Icon name={icon} />
      {words && <span aria-hidden="true">{words}</span>}
    </button>
  );
}

/** As ARIA has it: the sign + has a name of its own. */
function shortcut(key: string): string {
  return key === "+" ? "Plus" : key;
}
