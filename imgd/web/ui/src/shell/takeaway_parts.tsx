// The buttons of the menu "Take away".
import { useState } from "react";
import { sizeWords } from "../frames/words";
import { ChannelPart } from "../measure/channel_part";
import { colourOf, mainPlane, planeWords } from "../measure/subject";
import { deepLink } from "../state/deeplink";
import { useStore } from "../state/store";
import type { Camera, Shown } from "../state/types";
import { composed } from "./compose";
import { curlLine } from "./curl";
import { fileName } from "./names";
import { regionWords, type Region } from "./region";
import { copyAndSay } from "./taking";
import { fetchJob, type Run } from "./takeaway_saving";
import { viewText } from "./values";
import { SIDE_MAX, exportAddress, pictureAddress, type ExportFormat, type PictureFormat } from "./view_query";

interface Of {
  shown: Shown;
  region: Region;
  camera: Camera;
}

type Saves = { run: Run; busy: boolean };

export function PicturePart({ shown, region, camera, run, busy }: Of & Saves) {
  const asSeen = (): void => {
    const stages = document.querySelector<HTMLElement>(".stages");
    if (stages) run({ name: fileName(shown.ref, "view", "png"), make: () => composed(stages) });
  };
  const full = (format: PictureFormat): void => {
    const name = fileName(shown.ref, regionWords(region, shown.geometry), format === "jpeg" ? "jpg" : format);
    run(fetchJob(name, pictureAddress(shown, camera, region, format)));
  };
  const tooLarge = Math.max(region.width, region.height) > SIDE_MAX;
  return (
    <section>
      <h3>Picture</h3>
      <div className="row">
        <button type="button" className="plain" disabled={busy} onClick={asSeen}>As on the screen (PNG)</button>
        <button type="button" className="plain" disabled={busy} onClick={() => full("png")}>All pixels of the part (PNG)</button>
        <button type="button" className="plain" disabled={busy} onClick={() => full("jpeg")}>JPEG</button>
      </div>
      <p className="quiet">On the screen: with what is drawn over it. All pixels: with this look, flipped and turned as here.</p>
      {tooLarge && <p className="quiet">It is made smaller: no side is longer than {SIDE_MAX} pixels.</p>}
    </section>
  );
}

const EXPORTS: readonly { format: ExportFormat; words: string }[] = [
  { format: "fits", words: "FITS" },
  { format: "tiff", words: "TIFF, 16 bit" },
  { format: "png", words: "PNG, 16 bit" },
  { format: "npy", words: "NumPy" },
];

export function PixelPart({ shown, region, run, busy }: Omit<Of, "camera"> & Saves) {
  const channel = useStore((state) => state.channel);
  const { hdu = shown.hdu } = mainPlane(shown, channel);
  const stored = shown.facts.hdus.find(({ index }) => index === Number(hdu))?.stored;
  const bytes = region.width * region.height * (Number(stored?.slice(1)) || 2);
  const take = (format: ExportFormat): void => {
    const part = pixelWords(shown, channel, region);
    const [suffix, ending] = format === "tiff" ? [part, "tif"] : format === "png" ? [`${part}-16bit`, "png"] : [part, format];
    run(fetchJob(fileName(shown.ref, suffix, ending), exportAddress(shown, channel, region, format)));
  };
  return (
    <section>
      <h3>Measured values</h3>
      <ChannelPart shown={shown} words="Of the plane" />
      <div className="row">
        {EXPORTS.map(({ format, words }) => (
          <button key={format} type="button" className="plain" disabled={busy} onClick={() => take(format)}>{words}</button>
        ))}
      </div>
      <p className="quiet">{planeWords(shown, channel) && `Only ${planeWords(shown, channel)}. `}As they are stored, neither stretched nor turned; FITS with its header. About {sizeWords(bytes)}.</p>
    </section>
  );
}

/** For the name of a file of pixels: of which plane and part it is. */
function pixelWords(shown: Shown, channel: number, region: Region): string {
  return [colourOf(shown, channel), regionWords(region, shown.geometry) || "plane"].filter(Boolean).join("-");
}

export function CopyPart({ shown, region, camera, box }: Of & { box: { width: number; height: number } }) {
  const channel = useStore((state) => state.channel);
  const colour = colourOf(shown, channel);
  const name = fileName(shown.ref, "view", "png");
  const line = curlLine(pictureAddress(shown, camera, region, "png", box), name);
  const cutout = curlLine(exportAddress(shown, channel, region, "fits"), fileName(shown.ref, pixelWords(shown, channel, region), "fits"));
  return (
    <section>
      <h3>Copy</h3>
      <div className="row">
        <CopyButton words="Link to this view" text={deepLink()} what="The link" />
        <CopyButton words="curl line of the picture" text={line} what="The curl line" />
        <CopyButton words={colour ? `curl line of the FITS (${colour})` : "curl line of the FITS"} key={colour} text={cutout} what="The curl line" />
        <CopyButton words="Facts and levels" text={viewText(shown, camera, region, deepLink())} what="Facts and levels" />
      </div>
    </section>
  );
}

/** Where the browser does not let a page copy, the text is shown, chosen, to be copied by hand. */
function CopyButton({ words, text, what }: { words: string; text: string; what: string }) {
  const [done, setDone] = useState<boolean | null>(null);
  const copy = (): void => void copyAndSay(text, what).then(setDone);
  return (
    <>
      <button type="button" className="plain" onClick={copy}>{done ? `${words}: copied` : words}</button>
      {done === false && <textarea aria-label={words} readOnly rows={3} value={text} autoFocus onFocus={({ target }) => target.select()} />}
    </>
  );
}
