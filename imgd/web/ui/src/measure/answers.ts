// What the daemon answers to measuring questions (its docs: /docs). All positions are FITS pixels.

/** Whole numbers beyond 2**53 come as text. */
export type Told = number | string;

export interface PixelAnswer {
  x: number;
  y: number;
  value: Told | null;
  bad: boolean;
  why: string | null;
  saturated: boolean;
  x_first: number;
  y_first: number;
  values: (Told | null)[][];
}

export interface ProfileAnswer {
  line: [number, number, number, number];
  width: number;
  length: number;
  x: number[];
  y: number[];
  distance: number[];
  value: (number | null)[];
  good: number[];
}

export interface ShapeAnswer {
  shape: string;
  numbers: number[];
  count: number;
  bad: number;
  clipped: boolean;
  saturated: number;
  min: Told | null;
  max: Told | null;
  mean: number | null;
  median: Told | null;
  sigma: number | null;
  mad: Told | null;
  sum: Told | null;
  max_x: number | null;
  max_y: number | null;
  centroid_x: number | null;
  centroid_y: number | null;
}

export interface ChannelStats {
  channel: string;
  count: number;
  bad: number;
  saturated: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  sigma: number | null;
  median: number | null;
  mad: number | null;
  quantiles: { q: number; value: number; within: number }[];
}

export interface StatsAnswer {
  section: string;
  channels: ChannelStats[];
}

export interface Star {
  x: number;
  y: number;
  flux: number;
  peak: number;
  fwhm: number;
  hfr: number | null;
  ellipticity: number;
  saturated: boolean;
  flags: string[];
}

export interface StarsAnswer {
  found: number;
  listed: number;
  truncated: boolean;
  threshold: number;
  asked: number;
  background: number | null;
  noise: number | null;
  fwhm: number | null;
  hfr: number | null;
  median_of: number;
  stars: Star[];
  notes: string[];
}

export interface SkyPosition {
  x: number | null;
  y: number | null;
  world: [number, number] | null;
  ra: number | null;
  dec: number | null;
  ra_text: string | null;
  dec_text: string | null;
}

export interface SkyGrid {
  step: number;
  xs: number[];
  ys: number[];
  world: ([number, number] | null)[];
  vectors: ([number, number, number] | null)[] | null;
  accuracy_px: number | null;
}

export interface SkyAnswer {
  kind: "celestial" | "linear";
  system: string;
  projection: string;
  frame: string;
  axes: { name: string; unit: string }[];
  scale: [number, number] | null;
  north: number | null;
  east: number | null;
  mirrored: boolean | null;
  centre: SkyPosition;
  position: SkyPosition | null;
  grid: SkyGrid | null;
  notes: string[];
}

export interface HeaderAnswer {
  hdus: { index: number; name: string; cards: { keyword: string; value: unknown; comment: string; unit: string }[] }[];
}
