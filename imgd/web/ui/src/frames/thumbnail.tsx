// One small picture of the strip: asked for when the strip rests, given up when it is scrolled away.
import { useEffect, useState } from "react";
import type { FrameRow } from "../state/types";
import { findThumb, thumbKey, type Thumb } from "./thumbs";

const NONE: Thumb = { url: null, wrong: null };

export function Thumbnail({ row, rests }: { row: FrameRow; rests: boolean }) {
  const [thumb, setThumb] = useState(NONE);
  const [begun, setBegun] = useState(false);
  const key = thumbKey(row);
  if (rests && !begun) setBegun(true); // What has begun goes on while the strip moves slowly out of sight.
  useEffect(() => {
    if (!begun) return;
    const end = findThumb(row, setThumb);
    return () => {
      end();
      setThumb(NONE);
    };
  }, [key, begun]);
  if (thumb.url) return <img src={thumb.url} alt="" draggable={false} />;
  if (!thumb.wrong) return <span className="row-blank" />;
  return (
    <span className="failed wrong" title={thumb.wrong}>
      !
    </span>
  );
}
