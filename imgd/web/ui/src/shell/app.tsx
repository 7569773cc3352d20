// Where everything is: the list at the left, the stage, the panel at the right (at the foot of a phone), the strip below.
import { useStore } from "../state/store";
import { FrameList } from "../frames/list";
import { FrameStrip } from "../frames/strip";
import { Boundary } from "./boundary";
import { Help } from "./help";
import { Notices } from "./notices";
import { SidePanel } from "./side";
import { Stages } from "../picture/stages";
import { StatusLine } from "./status";
import { Toolbar } from "./toolbar";
import { TopBar } from "./top";
import { useKeys } from "./keys";
import "./app.css";

export function App() {
  useKeys();
  const listOpen = useStore((state) => state.listOpen);
  const stripOpen = useStore((state) => state.stripOpen);
  const panel = useStore((state) => state.panel);
  const night = useStore((state) => state.night);
  return (
    <div className={`app${night ? " night" : ""}${panel ? " with-panel" : ""}${listOpen ? " with-list" : ""}`}>
      <TopBar />
      {listOpen && <Boundary part="The list"><FrameList /></Boundary>}
      <main aria-label="Picture">
        <Stages />
        <Toolbar />
        <Notices />
      </main>
      {panel && <SidePanel panel={panel} />}
      {stripOpen && <Boundary part="The strip"><FrameStrip /></Boundary>}
      <StatusLine />
      <Help />
    </div>
  );
}
