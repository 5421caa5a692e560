// The panel for indexing: folders, progress, and the result.

import { get, post, remove } from "./api.js";
import { $, make, number } from "./elements.js";

const POLL = 1000;
const STATES = {
  queued: "Waiting",
  running: "Indexing",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled; what was read is kept",
  interrupted: "Interrupted; what was read is kept",
};

export class JobsPanel {
  /** @param finished ()  called when images may have come */
  constructor(finished) {
    this.finished = finished;
    this.source = null;
    $("show-jobs").addEventListener("click", () => this.open());
    $("jobs").querySelector(".close").addEventListener("click", () => $("jobs").close());
    $("start-job").addEventListener("click", () => this.start());
    $("cancel-job").addEventListener("click", () => remove(`v1/jobs/${this.id}`));
  }

  async open() {
    if (!$("jobs").open) $("jobs").showModal();
    try {
      const [status, { jobs }] = await Promise.all([get("v1/status"), get("v1/jobs")]);
      const folders = status.can_index;
      $("jobs-about").textContent = folders.length
        ? "New and changed images in these folders are taken in; what was read before is not read again."
        : "No folder may be indexed from here. Start the server with clipdex serve --allow-index FOLDER, or run clipdex index FOLDER.";
      $("jobs-folders").replaceChildren(...folders.map((folder) => make("li", {}, folder)));
      $("start-job").hidden = !folders.length;
      if (jobs[0]) this.follow(jobs[0]);
    } catch (problem) {
      $("jobs-about").textContent = problem.message;
    }
  }

  async start() {
    $("start-job").disabled = true;
    try {
      this.follow(await post("v1/index", {}));
    } catch (problem) {
      $("start-job").disabled = false;
      $("jobs-about").textContent = problem.message;
    }
  }

  follow(job) {
    this.id = job.id;
    this.show(job);
    this.source?.close();
    if (job.state !== "running" && job.state !== "queued") return;
    const source = new EventSource(`v1/jobs/${job.id}/events`);
    this.source = source;
    source.addEventListener("progress", (event) => this.show(JSON.parse(event.data)));
    source.addEventListener("end", (event) => {
      source.close();
      this.show(JSON.parse(event.data));
      this.finished();
    });
    source.addEventListener("error", () => {
      source.close();
      setTimeout(() => this.poll(), POLL);
    });
  }

  async poll() {
    try {
      this.follow(await get(`v1/jobs/${this.id}`));
    } catch (problem) {
      $("job-report").textContent = problem.message;
    }
  }

  show(job) {
    const running = job.state === "running" || job.state === "queued";
    $("job").hidden = false;
    $("start-job").disabled = running;
    $("cancel-job").hidden = !running;
    const stage = job.stage === "scan" ? "Looking through the folders" : STATES[job.state];
    $("job-state").textContent = running ? stage : STATES[job.state];
    const bar = $("job-progress");
    bar.hidden = !running;
    if (job.total) Object.assign(bar, { max: job.total, value: job.done });
    else bar.removeAttribute("value");
    $("job-report").textContent = this.describe(job, running);
    const skipped = $("job-skipped");
    skipped.hidden = !job.skipped.length;
    skipped.querySelector("summary").textContent = `${job.skipped.length} files could not be read`;
    skipped.querySelector("ul").replaceChildren(
      ...job.skipped.map((one) => make("li", {}, `${one.path}: ${one.reason}`)),
    );
  }

  describe(job, running) {
    if (job.error) return job.error;
    if (running) {
      if (!job.total) return job.done ? `${number(job.done)} files` : "";
      const rate = job.images_per_second ? `, ${job.images_per_second} a second` : "";
      return `${number(job.done)} of ${number(job.total)}${rate}`;
    }
    const report = job.report;
    if (!report) return "";
    return `${number(report.indexed)} new, ${number(report.unchanged)} unchanged, ${number(report.removed)} gone, ${number(report.failed)} failed, in ${report.seconds.toFixed(1)} s`;
  }
}
