// Who looks at /docs signs in there, calls, stays signed in, and signs out.
import path from "node:path";

export async function docs(page, { email, password, screenshots }, name) {
  const shoot = (what) => page.screenshot({ path: path.join(screenshots, `docs-${name}-${what}.png`) });
  const field = (label) => page.getByRole("textbox", { name: label, exact: true });
  const press = (label) => page.getByRole("button", { name: label, exact: true }).click();
  const tokens = new Set();
  page.on("request", (request) => tokens.add(request.headers().authorization));

  const locks = page.locator(".opblock .authorization__btn");
  await locks.first().waitFor();
  await shoot("signed-out");
  const closed = () => page.locator(".opblock .authorization__btn .locked").count();
  const closedBefore = await closed();

  await field("E-mail").fill(email);
  await field("Password").fill("not the password");
  await press("Sign in");
  const refusal = page.getByRole("alert");
  await refusal.filter({ hasText: /./ }).waitFor();
  const refused = await refusal.textContent();
  await field("Password").fill(password);
  await press("Sign in");
  await page.getByText(`Signed in as ${email}`).waitFor();

  const operation = page.locator("#operations-ProfileService-ProfileService_GetProfile");
  const answer = operation.locator(".live-responses-table .response");
  await operation.locator(".opblock-summary-control").click();
  const call = async (status) => {
    await operation.getByRole("button", { name: "Execute" }).click();
    await answer.locator(".response-col_status", { hasText: status }).waitFor();
    return JSON.parse(await answer.locator(".response-col_description code").first().textContent());
  };
  const profile = await call("200");
  await operation.scrollIntoViewIfNeeded();
  await shoot("called");
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const closedAfter = (await closed()) / (await locks.count());

  // To the page its access token is about to end.
  const before = tokens.size;
  await page.clock.setFixedTime(Date.now() + 3600_000);
  await operation.getByRole("button", { name: "Clear" }).click();
  const again = await call("200");
  const exchanged = tokens.size - before;

  await press("Sign out");
  await field("E-mail").waitFor();
  const signedOut = await call("401");
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  return { refused, profile, again, exchanged, signedOut, closedBefore, closedAfter, overflow, ground, console: page.lines };
}
