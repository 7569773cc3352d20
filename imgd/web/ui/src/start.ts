// What runs beside React, for as long as the page: the link, the pictures of the panes, the address line.
import { startDeepLinks } from "./state/deeplink";
import { startKept } from "./stretch/kept";
import { startPictures } from "./picture/pictures";
import { connect } from "./protocol/connect";
import { startFrames } from "./frames/start";
import { startLive } from "./live/start";

export function start(): void {
  startKept();
  startDeepLinks();
  const link = connect();
  startPictures(link);
  startLive(link);
  startFrames();
}
