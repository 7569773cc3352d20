// The page's own icons: strokes on a grid of 20, in the colour of the text around them.

const PATHS = {
  list: "M3 5h14M3 10h14M3 15h14",
  previous: "M12.5 4 6.5 10l6 6",
  next: "M7.5 4l6 6-6 6",
  fit: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4M7 8h6v4H7z",
  one: "M4 6.5 6 5v10M10 8.5h.01M10 12.5h.01M13.5 6.5l2-1.5v10",
  two: "M3.5 7c0-3 4.5-2.6 4 .3C7.2 9 4.5 11.5 3.5 15H8M10.8 8.5h.01M10.8 12.5h.01M13.8 6.5l2-1.5v10",
  zoomIn: "M8.5 3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M12.5 12.5 17 17M8.5 6v5M6 8.5h5",
  zoomOut: "M8.5 3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M12.5 12.5 17 17M6 8.5h5",
  turn: "M15.5 11a5.5 5.5 0 1 1-1.6-4.6L16 8.5M16 4v4.5h-4.5",
  flip: "M10 2.5v15M7.5 5.5v9L2.5 14.5zM12.5 5.5v9l5 0z",
  pan: "M10 2v16M2 10h16M10 2 8 4.2M10 2l2 2.2M10 18l-2-2.2M10 18l2-2.2M2 10l2.2-2M2 10l2.2 2M18 10l-2.2-2M18 10l-2.2 2",
  line: "M4.5 15.5l11-11M4.5 13.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4M15.5 2.5a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  rect: "M3.5 5.5h13v9h-13z",
  circle: "M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M10 10h.01",
  layers: "M10 3l7 4-7 4-7-4zM3 10.5l7 4 7-4M3 14l7 4 7-4",
  stars: "M10 3l1.9 4.7L17 8.2l-3.9 3.3 1.3 5L10 13.7l-4.4 2.8 1.3-5L3 8.2l5.1-.5z",
  grid: "M3 6.5c5-2 9-2 14 0M3 13.5c5-2 9-2 14 0M6.5 3c-2 5-2 9 0 14M13.5 3c2 5 2 9 0 14",
  compass: "M10 17V3M10 3 7 6.5M10 3l3 3.5M10 17H4M4 17l2-1.8",
  scalebar: "M3 8v5M17 8v5M3 10.5h14",
  minimap: "M3 4h14v12H3zM9.5 9.5H15V14H9.5z",
  magnifier: "M9 3a6 6 0 1 0 0 12A6 6 0 0 0 9 3M13.3 13.3 17 17M9 6v6M6 9h6M6.5 6.5h5v5h-5z",
  panel: "M3 4h14v12H3zM12 4v12",
  stretch: "M3 17V9M6.5 17V5M10 17V3M13.5 17v-7M17 17v-3",
  header: "M5 3h7l3 3v11H5zM7.5 8h5M7.5 11h5M7.5 14h3",
  follow: "M10 10h.01M7 7a4.2 4.2 0 0 0 0 6M13 7a4.2 4.2 0 0 1 0 6M4.5 4.5a7.8 7.8 0 0 0 0 11M15.5 4.5a7.8 7.8 0 0 1 0 11",
  compare: "M3 4h6v12H3zM11 4h6v12h-6z",
  run: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 6v4l3 2",
  save: "M10 3v9M6.5 9 10 12.5 13.5 9M4 14v3h12v-3",
  night: "M15.5 12.3A6.5 6.5 0 0 1 7.7 4.5a6.5 6.5 0 1 0 7.8 7.8z",
  full: "M3 8V3h5M12 3h5v5M17 12v5h-5M8 17H3v-5",
  help: "M7 7.5a3 3 0 1 1 4.6 2.5c-1 .7-1.6 1.2-1.6 2.5M10 16h.01",
  menu: "M10 4.5h.01M10 10h.01M10 15.5h.01",
  strip: "M3 5h14v10H3zM7.7 5v10M12.3 5v10",
  close: "M5 5l10 10M15 5 5 15",
  link: "M8.5 11.5a3 3 0 0 0 4.2 0l3-3a3 3 0 0 0-4.2-4.2L10 5.8M11.5 8.5a3 3 0 0 0-4.2 0l-3 3a3 3 0 0 0 4.2 4.2L10 14.2",
  play: "M6 4l10 6-10 6z",
  step: "M5 4l8 6-8 6zM15 4v12",
  measure: "M2.5 13.5 13.5 2.5l4 4-11 11zM5.5 10.5l2 2M8.5 7.5l2 2M11.5 4.5l2 2",
  pause: "M7 4v12M13 4v12",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className={`icon icon-${name}`} viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
