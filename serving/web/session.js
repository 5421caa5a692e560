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
    await learn();
    done();
  });
  $("sign-out").addEventListener("click", async () => {
    await remove("v1/session");
    location.assign("./");
  });
  const { required, signed_in: inside } = await learn();
  if (required && !inside) ask();
  return inside;
}

/** Learn what the key may do: what changes something is only there for those who may. */
async function learn() {
  const session = await get("v1/session");
  $("sign-out").hidden = !(session.required && session.signed_in);
  document.body.classList.toggle("looks-only", !session.may_write);
  return session;
}
