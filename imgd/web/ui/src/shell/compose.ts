// The picture as it is seen: all that is drawn on the stages, put on one canvas.

const LEFT_OUT = ".minimap, .magnifier, [data-not-saved]"; // Aids of the hand, which are no part of the picture.

const HANDLES = ".handle, .hold, .grip";

/** Put all canvases of the stages on one, as large as the screen shows them. Raises where the browser refuses. */
export async function composed(stages: HTMLElement): Promise<Blob> {
  const box = stages.getBoundingClientRect();
  const ratio = devicePixelRatio;
  const all = document.createElement("canvas");
  all.width = Math.round(box.width * ratio);
  all.height = Math.round(box.height * ratio);
  const paper = all.getContext("2d");
  if (!paper) throw new Error("the browser gave no canvas");
  paper.fillStyle = "#000";
  paper.fillRect(0, 0, all.width, all.height);
  for (const drawn of stages.querySelectorAll<HTMLCanvasElement | SVGSVGElement>("canvas, svg")) {
    if (drawn.closest(`${LEFT_OUT}, button`) || !isSeen(drawn)) continue;
    await put(paper, drawn, box, ratio);
  }
  return new Promise((done, failed) => all.toBlob((blob) => (blob ? done(blob) : failed(new Error("the browser made no picture of it"))), "image/png"));
}

function isSeen(drawn: Element): boolean {
  return drawn.checkVisibility({ opacityProperty: true, visibilityProperty: true });
}

async function put(paper: CanvasRenderingContext2D, drawn: HTMLCanvasElement | SVGSVGElement, box: DOMRect, ratio: number): Promise<void> {
  const at = drawn.getBoundingClientRect();
  const source = drawn instanceof HTMLCanvasElement ? drawn : await asPicture(drawn, at);
  if (at.width * at.height * source.width * source.height === 0) return;
  paper.drawImage(source, (at.left - box.left) * ratio, (at.top - box.top) * ratio, at.width * ratio, at.height * ratio);
}

/** A drawing with its looks written into it: outside the page it has none of them. */
async function asPicture(drawn: SVGSVGElement, { width, height }: DOMRect): Promise<HTMLImageElement> {
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  const copies = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  [drawn, ...drawn.querySelectorAll("*")].forEach((each, at) => inline(each, copies[at]));
  copy.querySelectorAll(HANDLES).forEach((handle) => handle.remove());
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
  const picture = new Image(width, height);
  picture.src = url;
  await picture.decode().finally(() => URL.revokeObjectURL(url));
  return picture;
}

// As attributes: the styles of a document of its own are subject to rules that forbid them here.
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "paint-order", "stroke-linejoin", "dominant-baseline", "vector-effect", "display"];

function inline(from: Element, to: SVGElement | undefined): void {
  const styles = getComputedStyle(from);
  for (const name of STYLES) to?.setAttribute(name, styles.getPropertyValue(name));
}
