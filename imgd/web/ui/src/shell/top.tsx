// The bar at the top: the list, the frames before and after, what is shown, how we stand with the daemon, and the page's own things.
import { useStore } from "../state/store";
import { KeyButton } from "./button";
import { ConnectionState } from "./connection";
import { FrameName, PlaneChoice } from "./frame_name";
import { useFullScreen } from "./full_screen";
import { NightFilter } from "./night";
import { TakeAway } from "./takeaway";
import { TopMenu } from "./top_menu";
import "./top.css";

export function TopBar() {
  const { previous, next } = useStore((state) => state.neighbours);
  const listOpen = useStore((state) => state.listOpen);
  return (
    <header className="top">
      <KeyButton name="list" icon="list" pressed={listOpen} />
      <KeyButton name="previous" icon="previous" disabled={!previous} />
      <KeyButton name="next" icon="next" disabled={!next} />
      <FrameName />
      <PlaneChoice />
      <ConnectionState />
      <OwnThings />
      <TopMenu />
      <TakeAway />
      <NightFilter />
    </header>
  );
}

function OwnThings() {
  const night = useStore((state) => state.night);
  const stripOpen = useStore((state) => state.stripOpen);
  return (
    <nav className="own" aria-label="Page">
      <KeyButton name="strip" icon="strip" pressed={stripOpen} />
      <KeyButton name="takeAway" icon="save" />
      <KeyButton name="night" icon="night" pressed={night} />
      <KeyButton name="full" icon="full" pressed={useFullScreen()} />
      <KeyButton name="help" icon="help" />
    </nav>
  );
}
