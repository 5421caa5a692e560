// Where each tile stands: in rows of images in their own proportions, which are squares on a narrow
// screen, or in squares below headings.
// Places are computed, so that only tiles which can be seen need to be in the document.

const ROW_HEIGHT = 220;
const SQUARE = 180;
const NARROW_SQUARE = 95;
const LEAST_COLUMNS = 3;
const HEADING = { month: 52, day: 34, less: 44 };
const LEAST_WIDTH = 70;
// Days have headings of their own where a month has so many images, and its days fill rows.
const MANY = 40;

const isNarrow = () => innerWidth < 720;
const gap = () => (isNarrow() ? 5 : 8);

/** Return how many squares stand in a row, and how large each is, without and with its gap. */
function squaresOf(width) {
  const wanted = isNarrow() ? NARROW_SQUARE : SQUARE;
  const columns = Math.max(LEAST_COLUMNS, Math.floor((width + gap()) / (wanted + gap())));
  const side = (width - gap() * (columns - 1)) / columns;
  return { columns, side, pitch: side + gap() };
}

/**
 * @typedef {object} Heading
 * @property {string} key  @property {number} top  @property {number} height
 * @property {string} level  "month", "day" or "less"  @property {string} text
 */

/** Images in their own proportions; a heading stands before those that hardly match. */
export class Rows {
  /** @param hits  @param {number} width  @param {number} less  the first hit below the heading, or -1 */
  constructor(hits, width, less) {
    this.boxes = [];
    this.rows = [];
    this.headings = [];
    const parts = less > 0 ? [[0, less], [less, hits.length]] : [[0, hits.length]];
    let top = 0;
    for (const [from, to] of parts) {
      if (from) {
        this.headings.push({ key: "less", top, height: HEADING.less, level: "less", text: "Less likely from here" });
        top += HEADING.less;
      }
      top = this.fill(hits, from, to, top, width);
    }
    this.height = Math.max(0, top - gap());
  }

  get count() {
    return this.boxes.length;
  }

  fill(hits, from, to, top, width) {
    if (isNarrow()) return this.fillSquares(from, to, top, width);
    const wanted = ROW_HEIGHT;
    for (let start = from; start < to; ) {
      const ratios = [];
      let sum = 0;
      let end = start;
      // A row is full once its images, at the wanted height, are as wide as the page.
      while (end < to && sum * wanted + gap() * ratios.length < width) {
        const { width: w, height: h } = hits[end];
        ratios.push(Math.max(LEAST_WIDTH / wanted, Math.min(4, Math.max(0.4, w / h || 1))));
        sum += ratios.at(-1);
        end++;
      }
      const room = width - gap() * (ratios.length - 1);
      const full = sum * wanted + gap() * (ratios.length - 1) >= width;
      // Rows are shrunk to fit; the last one stays as it is.
      const height = full ? room / sum : wanted;
      let left = 0;
      for (const ratio of ratios) {
        this.boxes.push({ left, top, width: ratio * height, height });
        left += ratio * height + gap();
      }
      this.rows.push({ top, bottom: top + height, from: start, to: end });
      top += height + gap();
      start = end;
    }
    return top;
  }

  /** Rows of three images or more would be too low on a phone. */
  fillSquares(from, to, top, width) {
    const { columns, side, pitch } = squaresOf(width);
    for (let start = from; start < to; start += columns) {
      const end = Math.min(to, start + columns);
      for (let at = start; at < end; at++) {
        this.boxes.push({ left: (at - start) * pitch, top, width: side, height: side });
      }
      this.rows.push({ top, bottom: top + side, from: start, to: end });
      top += pitch;
    }
    return top;
  }

  place(at) {
    return this.boxes[at];
  }

  /** Return the tiles `from` to `to` and the headings that a part of the page shows. */
  visible(top, bottom) {
    const first = firstWhere(this.rows.length, (row) => this.rows[row].bottom > top);
    const last = firstWhere(this.rows.length, (row) => this.rows[row].top >= bottom);
    const headings = this.headings.filter((one) => one.top < bottom && one.top + one.height > top);
    if (first >= last) return { from: 0, to: 0, headings };
    return { from: this.rows[first].from, to: this.rows[last - 1].to, headings };
  }

  /** Return the tiles `from` to `to` of the row next to that of a tile. */
  row(at, by) {
    const here = firstWhere(this.rows.length, (row) => this.rows[row].to > at);
    return this.rows[here + by] ?? null;
  }
}

/** Squares below the headings of their months, and of their days where that helps. */
export class Timeline {
  /** @param months  as the server counts them  @param {number} width */
  constructor(months, width) {
    Object.assign(this, squaresOf(width));
    this.headings = [];
    this.months = [];
    this.parts = [];
    this.count = 0;
    let top = 0;
    const head = (key, level, text) => {
      this.headings.push({ key, top, height: HEADING[level], level, text });
      top += HEADING[level];
    };
    const squares = (count) => {
      const height = Math.ceil(count / this.columns) * this.pitch;
      this.parts.push({ top, bottom: top + height, from: this.count, to: this.count + count });
      this.count += count;
      top += height;
    };
    for (const { month, count, days } of months) {
      this.months.push({ month, top, text: monthText(month), from: this.count });
      head(month, "month", monthText(month));
      const taken = days.filter(Boolean).length;
      if (count >= MANY && count >= taken * this.columns) {
        for (let day = days.length; day >= 1; day--) {
          if (!days[day - 1]) continue;
          head(`${month}-${day}`, "day", dayText(month, day));
          squares(days[day - 1]);
        }
      } else squares(count);
    }
    this.height = Math.max(0, top - gap());
  }

  place(at) {
    const part = this.parts[firstWhere(this.parts.length, (one) => this.parts[one].to > at)];
    if (!part) return undefined;
    const row = Math.floor((at - part.from) / this.columns);
    const column = (at - part.from) % this.columns;
    return { left: column * this.pitch, top: part.top + row * this.pitch, width: this.side, height: this.side };
  }

  /** Return the tiles `from` to `to` and the headings that a part of the page shows. */
  visible(top, bottom) {
    const first = firstWhere(this.headings.length, (one) => this.headings[one].top + this.headings[one].height > top);
    const last = firstWhere(this.headings.length, (one) => this.headings[one].top >= bottom);
    const headings = this.headings.slice(first, last);
    const begin = this.parts[firstWhere(this.parts.length, (one) => this.parts[one].bottom > top)];
    const end = this.parts[firstWhere(this.parts.length, (one) => this.parts[one].top >= bottom) - 1];
    if (!begin || !end || begin.top >= bottom) return { from: 0, to: 0, headings };
    const above = Math.max(0, Math.floor((top - begin.top) / this.pitch));
    const below = Math.ceil((bottom - end.top) / this.pitch);
    return {
      from: Math.min(begin.to, begin.from + above * this.columns),
      to: Math.min(end.to, end.from + below * this.columns),
      headings,
    };
  }

  row(at, by) {
    const number = firstWhere(this.parts.length, (one) => this.parts[one].to > at);
    const part = this.parts[number];
    const start = part.from + (Math.floor((at - part.from) / this.columns) + by) * this.columns;
    if (start >= part.from && start < part.to) return { from: start, to: Math.min(part.to, start + this.columns) };
    const next = this.parts[number + by];
    if (!next) return null;
    if (by > 0) return { from: next.from, to: Math.min(next.to, next.from + this.columns) };
    return { from: next.from + Math.floor((next.to - 1 - next.from) / this.columns) * this.columns, to: next.to };
  }

  /** Return the number of the month that stands at a height. */
  monthAt(top) {
    return Math.max(0, firstWhere(this.months.length, (one) => this.months[one].top > top) - 1);
  }
}

/** Return the first of `count` numbers for which a condition holds that holds for all after it. */
function firstWhere(count, holds) {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

const date = (month, day) => {
  const [year, number] = month.split("-").map(Number);
  const made = new Date(Date.UTC(2000, number - 1, day));
  made.setUTCFullYear(year);
  return made;
};
const asMonth = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" });
const asDay = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
const monthText = (month) => asMonth.format(date(month, 1));
const dayText = (month, day) => asDay.format(date(month, day));
