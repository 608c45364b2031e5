"use strict";

// Of the last answer that had some. They are gone when the page is.
let tokens;

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [honestLocks],
  layout: "BaseLayout",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  // It would send the document to another host.
  validatorUrl: null,
  requestInterceptor: withFreshToken,
  responseInterceptor: (response) => {
    take(response.text);
    return response;
  },
});

const signIn = document.getElementById("sign-in");
const signOut = document.getElementById("sign-out");

signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await post("/v1/sessions:login", Object.fromEntries(new FormData(signIn)));
    signIn.reset();
  });
});

signOut.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const { refreshToken } = tokens;
    show(undefined);
    ui.authActions.logout(["bearer"]);
    await post("/v1/sessions:logout", { refreshToken });
  });
});

// Says what went wrong, and nothing where nothing did.
async function attempt(action) {
  const refusal = document.getElementById("refusal");
  refusal.textContent = "";
  try {
    await action();
  } catch (error) {
    refusal.textContent = error.message;
  }
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(JSON.parse(text).detail);
  }
  take(text);
}

// An answer with tokens signs the page in: what is called next is called with them.
function take(text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    return;
  }
  const found = answer?.tokens ?? answer;
  if (typeof found?.accessToken === "string") {
    show(found, answer.account?.email);
    ui.preauthorizeApiKey("bearer", found.accessToken);
  }
}

// Whether somebody is signed in, and who, where that is known.
function show(found, email) {
  const same = tokens !== undefined && found !== undefined && email === undefined;
  tokens = found;
  signIn.hidden = tokens !== undefined;
  signOut.hidden = tokens === undefined;
  if (!same) {
    document.getElementById("who").textContent = email === undefined ? "" : ` as ${email}`;
  }
}

// An access token lives for minutes: one that is about to end is exchanged for another.
async function withFreshToken(request) {
  const old = tokens;
  if (old === undefined || Date.parse(old.expireTime) - Date.now() > 10_000) {
    return request;
  }
  // What was entered under Authorize stays.
  if (request.headers?.Authorization === `Bearer ${old.accessToken}`) {
    await attempt(() => post("/v1/sessions:refresh", { refreshToken: old.refreshToken }));
    request.headers.Authorization = `Bearer ${tokens.accessToken}`;
  }
  return request;
}

// Swagger UI shows a method that may be called without a token as if there was one.
function honestLocks() {
  const isAuthorized = (original) => (_state, needs) => original(needs?.filter((need) => need.size > 0));
  return { statePlugins: { auth: { wrapSelectors: { isAuthorized } } } };
}
