// One line about what was just done, with a button that undoes it.

import { $ } from "./elements.js";

const SHOWN = 15_000;

let undoing = null;
let timer;

/**
 * Say what was done.
 * @param {string} text
 * @param {(() => Promise<void>)|null} undo  what takes it back; it says itself how that went
 */
export function toast(text, undo = null) {
  undoing = undo;
  $("undo").hidden = !undo;
  $("toast-text").textContent = text;
  // All outside an open dialog is out of reach.
  (document.querySelector("dialog[open]") ?? document.body).append($("toast"));
  $("toast").hidden = false;
  wait();
}

/** Hide the line some time later, unless somebody is about to press its button. */
function wait() {
  clearTimeout(timer);
  timer = setTimeout(() => ($("toast").matches(":hover, :focus-within") ? wait() : hide()), SHOWN);
}

function hide() {
  clearTimeout(timer);
  const focused = $("toast").contains(document.activeElement);
  $("toast").hidden = true;
  if (focused) ($("toast").closest("dialog") ?? $("results")).focus({ preventScroll: true });
}

$("undo").addEventListener("click", async () => {
  const undo = undoing;
  hide();
  await undo?.();
});
$("toast-close").addEventListener("click", hide);
// A dialog that is closed leaves the line where it can be seen; the event does not bubble.
document.addEventListener("close", () => document.body.append($("toast")), true);
