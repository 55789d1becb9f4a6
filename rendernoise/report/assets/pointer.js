// Mouse, pen and fingers on the stage: drag to move, wheel or pinch to zoom, drag the handle to slide, click for the box.

const HANDLE_REACH_PX = 12;
const CLICK_PX = 4;
const fingers = new Map();
let gesture = null; // { kind: 'slide' | 'pan' | 'pinch', … }
let pageWheelAt = -Infinity;

function stagePoint(event) {
  const box = stage().getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function onDown(event) {
  if (event.button > 0 || event.target.closest('button')) return;
  const [sx, sy] = stagePoint(event);
  stage().setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [sx, sy]);
  const v = view();
  if (fingers.size === 2) gesture = startPinch();
  else if (fingers.size === 1) {
    const reach = event.pointerType === 'touch' ? 2 * HANDLE_REACH_PX : HANDLE_REACH_PX;
    const slide = !byId('handle').hidden && Math.abs(sx - state.split * v.width) <= reach;
    gesture = { kind: slide ? 'slide' : 'pan', sx, sy, x: v.x, y: v.y, moved: false, offset: sx - state.split * v.width };
    stage().classList.add(slide ? 'sliding' : 'panning');
  }
  event.preventDefault();
  if (document.activeElement !== stage()) stage().focus({ preventScroll: true });
}

function startPinch() {
  const [[ax, ay], [bx, by]] = [...fingers.values()];
  const v = view();
  const at = toImage(v, (ax + bx) / 2, (ay + by) / 2);
  return { kind: 'pinch', apart: Math.hypot(ax - bx, ay - by) || 1, zoom: v.zoom, at };
}

function onMove(event) {
  const [sx, sy] = stagePoint(event);
  if (event.pointerType !== 'touch' || fingers.size) probeAt(sx, sy);
  if (!fingers.has(event.pointerId) || !gesture) return;
  fingers.set(event.pointerId, [sx, sy]);
  const v = view();
  if (gesture.kind === 'pinch' && fingers.size >= 2) {
    const [[ax, ay], [bx, by]] = [...fingers.values()];
    const zoom = clamp((gesture.zoom * Math.hypot(ax - bx, ay - by)) / gesture.apart, MIN_ZOOM, MAX_ZOOM);
    const [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
    moveTo(gesture.at[0] - (mx - v.width / 2) / zoom, gesture.at[1] - (my - v.height / 2) / zoom, zoom);
    return;
  }
  if (Math.hypot(sx - gesture.sx, sy - gesture.sy) > CLICK_PX) gesture.moved = true;
  if (gesture.kind === 'slide') change({ split: clamp((sx - gesture.offset) / v.width, 0, 1) });
  else if (gesture.moved) moveTo(gesture.x - (sx - gesture.sx) / v.zoom, gesture.y - (sy - gesture.sy) / v.zoom, v.zoom);
}

function onUp(event) {
  const was = gesture;
  fingers.delete(event.pointerId);
  if (was?.kind === 'pan' && !was.moved && event.type === 'pointerup') {
    const [x, y] = toImage(view(), was.sx, was.sy);
    const { image } = view();
    if (x >= 0 && y >= 0 && x < image.w && y < image.h) change({ boxX: Math.floor(x) + 0.5, boxY: Math.floor(y) + 0.5 });
  }
  gesture = null;
  stage().classList.remove('sliding', 'panning');
}

function onWheel(event) {
  // A page that is being scrolled goes on scrolling when the stage comes under the cursor.
  if (event.timeStamp - pageWheelAt < 300 && !event.ctrlKey) {
    pageWheelAt = event.timeStamp;
    return;
  }
  event.preventDefault();
  event.stopPropagation();
  const [sx, sy] = stagePoint(event);
  const lines = event.deltaMode === 1 ? 30 : event.deltaMode === 2 ? 300 : 1;
  zoomAbout(sx, sy, view().zoom * 2 ** clamp((-event.deltaY * lines * (event.ctrlKey ? 6 : 1)) / 300, -1, 1));
}

function listenToPointers() {
  const target = stage();
  target.addEventListener('pointerdown', onDown);
  target.addEventListener('pointermove', onMove);
  target.addEventListener('pointerup', onUp);
  target.addEventListener('pointercancel', onUp);
  target.addEventListener('wheel', onWheel, { passive: false });
  target.addEventListener('dblclick', (event) => event.preventDefault());
  target.addEventListener('pointerleave', () => probeAt(null, null));
  window.addEventListener('wheel', (event) => { pageWheelAt = event.timeStamp; }, { passive: true });
  const handle = byId('handle');
  handle.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (step === undefined) return;
    change({ split: clamp(state.split + step, 0, 1) });
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(() => paintStage()).observe(target);
}
