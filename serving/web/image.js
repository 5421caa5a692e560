// An image of the user's own to search by: chosen, dropped or pasted. It cannot be in a URL, so the
// tab keeps it, smaller, and finds it again after a reload.

import { shownByAll } from "./api.js";
import { $ } from "./elements.js";
import { takeShared } from "./offline.js";

const KEPT = "clipdex image";
const SIDE = 512;

export class OwnImage {
  /**
   * @param changed ()  called when there is another image
   * @param drawn ()  called when the image can be shown that could not be before
   */
  constructor(changed, drawn) {
    this.blob = null;
    this.url = "";
    Object.assign(this, { changed, drawn });
    $("choose").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => {
      if ($("file").files[0]) this.take($("file").files[0]);
      $("file").value = "";
    });
    document.addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
      if (pasted) this.take(pasted);
    });
    this.listenForDrops();
  }

  listenForDrops() {
    let depth = 0;
    const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const shade = (shown) => ($("drop").hidden = !shown);
    document.addEventListener("dragenter", (event) => {
      if (holdsFiles(event) && ++depth === 1) shade(true);
    });
    document.addEventListener("dragleave", (event) => {
      if (holdsFiles(event) && --depth === 0) shade(false);
    });
    document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth = 0;
      shade(false);
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
  }

  take(blob) {
    this.hold(blob);
    this.changed();
  }

  hold(blob) {
    this.forget();
    this.blob = blob;
    this.url = URL.createObjectURL(blob);
    this.keep(blob);
  }

  forget() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.blob = null;
    this.url = "";
    sessionStorage.removeItem(KEPT);
  }

  /** Take an image that was shared, or restore that from before a reload, if the tab still has it. */
  async restore() {
    const shared = await takeShared();
    if (shared) {
      this.hold(shared);
      return true;
    }
    const kept = sessionStorage.getItem(KEPT);
    if (!kept || this.blob) return Boolean(this.blob);
    const bytes = Uint8Array.from(atob(kept.split(",")[1]), (letter) => letter.charCodeAt(0));
    this.blob = new Blob([bytes], { type: "image/jpeg" });
    this.url = URL.createObjectURL(this.blob);
    return true;
  }

  /** Keep an image for after a reload; of one that the browser does not show, the server's. */
  async keep(blob) {
    try {
      const bitmap = await createImageBitmap(blob).catch(() => this.convert(blob));
      const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      sessionStorage.setItem(KEPT, canvas.toDataURL("image/jpeg", 0.85));
    } catch {
      // No image at all, as the search says, or a full store: a reload asks for it again.
    }
  }

  /** Show what the server makes of an image, and return it. */
  async convert(blob) {
    const small = await shownByAll(blob);
    if (this.blob === blob) {
      URL.revokeObjectURL(this.url);
      this.url = URL.createObjectURL(small);
      this.drawn();
    }
    return createImageBitmap(small);
  }
}
