// The image in large, made larger: by wheel, pinch, double click and keys, at the place that is meant.

const STEP = 1.5;
const DOUBLE = 2.5;
// Pixels of the screen that one of the image's is shown as, at most; and how much larger at least.
const MOST_PIXELS = 4;
const LEAST_MOST = 4;
// From this scale on, what was loaded is not sharp enough.
const COARSE = 1.2;
// How far a finger goes before it means something.
const MOVED = 8;
const SWIPED = 50;

export class Zoom {
  /**
   * @param stage  @param shown  the image in it
   * @param swiped (by)  called with 1 or -1  @param outside ()  called for a click beside the image
   * @param coarse ()  called when the image is wanted in all its pixels
   */
  constructor(stage, shown, { swiped, outside, coarse }) {
    Object.assign(this, { stage, shown, swiped, outside, coarse });
    this.pointers = new Map();
    this.reset();
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.press(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.release(event));
    stage.addEventListener("dblclick", (event) => {
      if (event.target.closest("button")) return;
      this.to(this.scale > 1 ? 1 : DOUBLE, event);
    });
    stage.addEventListener("click", (event) => {
      if (event.target === stage && !this.moved) this.outside();
    });
    new ResizeObserver(() => this.reset()).observe(stage);
  }

  get isZoomed() {
    return this.scale > 1;
  }

  /** Show the whole image again. */
  reset() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.draw();
  }

  /** Take a key, and return whether it was one of these. */
  key(key) {
    if (key === "+" || key === "=") this.to(this.scale * STEP);
    else if (key === "-") this.to(this.scale / STEP);
    else if (key === "0") this.reset();
    else return false;
    return true;
  }

  /** Enlarge to a scale, so that what is at a point of the window stays there. */
  to(scale, point = this.middle()) {
    const { left, top, width } = this.box();
    const natural = Number(this.shown.getAttribute("width")) || this.shown.naturalWidth || width;
    const most = Math.max(LEAST_MOST, (MOST_PIXELS * natural) / width);
    const next = Math.min(most, Math.max(1, scale));
    const factor = next / this.scale;
    this.x = (1 - factor) * (point.clientX - left) + factor * this.x;
    this.y = (1 - factor) * (point.clientY - top) + factor * this.y;
    this.scale = next;
    this.bound();
    if (next > COARSE) this.coarse();
  }

  middle() {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    return { clientX: left + width / 2, clientY: top + height / 2 };
  }

  /** Return where the image stands before it is enlarged. */
  box() {
    const stage = this.stage.getBoundingClientRect();
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.shown;
    return { left: stage.left + offsetLeft, top: stage.top + offsetTop, width: offsetWidth || 1, height: offsetHeight || 1 };
  }

  /** Keep the image in sight: in the middle where it is smaller than the stage, else without a gap. */
  bound() {
    const stage = this.stage.getBoundingClientRect();
    const box = this.box();
    const within = (moved, start, size, from, room) => {
      const at = start + moved;
      const bounded = size <= room ? from + (room - size) / 2 : Math.min(from, Math.max(from + room - size, at));
      return bounded - start;
    };
    this.x = within(this.x, box.left, box.width * this.scale, stage.left, stage.width);
    this.y = within(this.y, box.top, box.height * this.scale, stage.top, stage.height);
    this.draw();
  }

  draw() {
    const { x, y, scale } = this;
    this.shown.style.transform = scale > 1 ? `translate(${x}px, ${y}px) scale(${scale})` : "";
    this.stage.classList.toggle("zoomed", scale > 1);
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.to(this.scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), event);
  }

  press(event) {
    if (event.button !== 0 || event.target.closest("button")) return;
    this.pointers.set(event.pointerId, event);
    this.start ??= event;
    this.many = this.pointers.size > 1;
    if (this.pointers.size === 1) this.moved = false;
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers.values()].filter((one) => one.pointerId !== event.pointerId);
    if (apart(event, this.start) > MOVED || others.length) this.moved = true;
    this.pointers.set(event.pointerId, event);
    if (others.length === 1) {
      this.x += (event.clientX - before.clientX) / 2;
      this.y += (event.clientY - before.clientY) / 2;
      this.to((this.scale * apart(event, others[0])) / (apart(before, others[0]) || 1), between(event, others[0]));
    } else if (!others.length && this.isZoomed && this.moved) {
      // Else a drag over the edge would lose the pointer.
      this.stage.setPointerCapture(event.pointerId);
      this.x += event.clientX - before.clientX;
      this.y += event.clientY - before.clientY;
      this.bound();
    }
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId) || this.pointers.size) return;
    const { start, many } = this;
    this.start = null;
    this.many = false;
    if (many || this.isZoomed || event.type !== "pointerup" || event.pointerType !== "touch") return;
    const across = event.clientX - start.clientX;
    if (Math.abs(across) > SWIPED && Math.abs(across) > 1.5 * Math.abs(event.clientY - start.clientY)) this.swiped(across < 0 ? 1 : -1);
  }
}

const apart = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);

const between = (one, other) => ({
  clientX: (one.clientX + other.clientX) / 2,
  clientY: (one.clientY + other.clientY) / 2,
});
