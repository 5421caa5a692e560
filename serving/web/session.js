// Signing in with an API key, where the server has keys.

import { get, onSignInNeeded, post, remove } from "./api.js";
import { $ } from "./elements.js";

/** Ask for a key when one is needed; `done` is called once the user is signed in. */
export async function watchSession(done) {
  const ask = () => {
    if (!$("sign-in").open) $("sign-in").showModal();
    $("key").focus();
  };
  onSignInNeeded(ask);
  $("sign-in").addEventListener("cancel", (event) => event.preventDefault());
  $("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await post("v1/session", { key: $("key").value });
    } catch (problem) {
      $("sign-in-problem").textContent = problem.message;
      return;
    }
    $("key").value = $("sign-in-problem").textContent = "";
    $("sign-in").close();
    $("sign-out").hidden = false;
    done();
  });
  $("sign-out").addEventListener("click", async () => {
    await remove("v1/session");
    location.assign("./");
  });
  const { required, signed_in: inside } = await get("v1/session");
  $("sign-out").hidden = !(required && inside);
  if (required && !inside) ask();
  return inside;
}
