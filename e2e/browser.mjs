// node browser.mjs --url http://127.0.0.1:3000 [--chromium /usr/bin/chromium] [--screenshot file.png]
//   --every-look: next to the screenshot also the dark theme and a phone, as file-dark.png and file-phone.png
//
// Two people use the chat page in headless Chromium. Prints one line of JSON for each step, as run.mjs does for scenarios.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { report } from "./lib/report.mjs";

const { values: flags } = parseArgs({
  options: { url: { type: "string" }, chromium: { type: "string" }, screenshot: { type: "string" }, "every-look": { type: "boolean" } },
});

const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

function browserPath() {
  if (flags.chromium ?? process.env.CHROMIUM) return flags.chromium ?? process.env.CHROMIUM;
  for (const name of ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]) {
    for (const dir of process.env.PATH.split(delimiter)) if (existsSync(join(dir, name))) return join(dir, name);
  }
  throw new Error("no Chromium: set CHROMIUM or put chromium in PATH");
}

let browser;
const problems = []; // what the pages complained of: any of it is a failure

async function person(name, options) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 720 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (err) => problems.push(`${name}: ${err}`));
  page.on("console", (m) => m.type() === "error" && problems.push(`${name}: ${m.text()}`));
  await page.goto(flags.url);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: /enter/i }).click();
  await connected(page);
  return page;
}

const log = (page, text) => page.locator("#log").getByText(text, { exact: true });
const here = (page) => page.getByRole("complementary", { name: "People" });
const connected = (page) => page.locator("#state[data-state=on]").waitFor();
// say is over when the speaker hears it too: what comes later draws the lists again, perhaps in the middle of a click.
const say = async (page, text) => {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
  await log(page, text).waitFor();
};
// types has a person type something, and another one see it, which lasts for four seconds.
const types = (page, text, seenBy, who) =>
  Promise.all([seenBy.getByText(`${who} is typing…`).waitFor(), page.locator("#text").pressSequentially(text)]);

let ada, grace;

const steps = {
  async whoIsHere() {
    ada = await person("Ada");
    grace = await person("Grace");
    await log(ada, "Grace came in.").waitFor();
    await here(ada).getByRole("button", { name: "Grace" }).waitFor();
    await here(grace).getByRole("button", { name: "Ada" }).waitFor();
    assert.equal(await ada.locator("#howmany").textContent(), "2");
    assert.equal(await grace.locator("#howmany").textContent(), "2");
  },
  async talk() {
    await say(ada, "Hello Grace, does it work?");
    await log(grace, "Hello Grace, does it work?").waitFor();
    await say(grace, "It does – all the way through the mesh 🎉");
    await log(ada, "It does – all the way through the mesh 🎉").waitFor();
  },
  async typing() {
    await types(ada, "I am wri", grace, "Ada");
    await ada.locator("#text").fill("");
    await grace.getByText("Ada is typing…").waitFor({ state: "detached" });
  },
  // The list of people is drawn again, with a sign that Grace types, while the mouse is down on her.
  async clickAcrossARedraw() {
    await here(ada).getByRole("button", { name: "Grace" }).hover();
    await ada.mouse.down();
    await types(grace, "One mom", ada, "Grace");
    await ada.mouse.up();
    await ada.locator("#privateto").getByText("Grace").waitFor();
    await ada.locator("#text").press("Escape");
    await grace.locator("#text").fill("");
  },
  async whisper() {
    const alan = await person("Alan");
    await here(grace).getByRole("button", { name: "Alan" }).waitFor();
    await here(grace).getByRole("button", { name: "Ada" }).click();
    await say(grace, "Between you and me: the demo is 100 lines.");
    await grace.locator("#text").press("Escape");
    await log(ada, "only to you").waitFor();
    await log(ada, "Between you and me: the demo is 100 lines.").waitFor();
    await log(grace, "only to Ada").waitFor();
    await say(grace, "Welcome, Alan!");
    await log(alan, "Welcome, Alan!").waitFor();
    assert.equal(await log(alan, "Between you and me: the demo is 100 lines.").count(), 0);
    await alan.close();
    await log(ada, /^Alan (left|lost the connection)\.$/).waitFor();
  },
  async nothingIsHtml() {
    const text = `<img src=x onerror="document.title='broken'"> & <b>bold</b>`;
    await say(ada, text);
    await log(grace, text).waitFor();
    assert.equal(await grace.locator("#log img, #log .text b").count(), 0);
  },
  async rooms() {
    await grace.getByLabel("Name of a new room").fill("engine room");
    await grace.getByRole("button", { name: "Create the room" }).click();
    await log(ada, "Grace went to #engine room.").waitFor();
    await say(ada, "Nobody hears this.");
    await ada.getByRole("button", { name: /engine room/ }).click();
    await log(grace, "Ada came in.").waitFor();
    await say(ada, "Here you are.");
    await log(grace, "Here you are.").waitFor();
    assert.equal(await log(grace, "Nobody hears this.").count(), 0);
    for (const page of [grace, ada]) {
      await page.getByRole("button", { name: /lobby/ }).click();
      await page.locator("#room").getByText("lobby", { exact: true }).waitFor();
      if (page === grace) await log(ada, "Grace went to #lobby.").waitFor();
    }
  },
  async comesBack() {
    await grace.context().setOffline(true);
    await grace.evaluate(() => window.dispatchEvent(new Event("offline")));
    await grace.locator("#state[data-state=wait]").waitFor();
    await grace.context().setOffline(false);
    await connected(grace);
    await log(grace, "You are back.").waitFor();
    await here(ada).getByRole("button", { name: "Grace" }).waitFor();
    await say(ada, "Welcome back.");
    await log(grace, "Welcome back.").waitFor();
  },
  async nameRefused() {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(flags.url);
    await page.getByLabel("Your name").fill("   ");
    await page.getByRole("button", { name: /enter/i }).click();
    await page.getByRole("alert").getByText("A name has 1 to 24 characters.").waitFor();
    await context.close();
  },
  async picture() {
    await grace.reload();
    await grace.getByRole("button", { name: /enter/i }).click();
    await connected(grace);
    for (const name of ["Edsger", "Barbara"]) await person(name);
    const picture = await person("Katherine", { deviceScaleFactor: 1.5 });
    await here(picture).getByRole("button", { name: "Ada" }).waitFor();
    await say(ada, "Hello everybody! Which edge are you on?");
    await log(grace, "Hello everybody! Which edge are you on?").waitFor();
    await say(grace, "No idea, and that is the point :)");
    await log(picture, "No idea, and that is the point :)").waitFor();
    await say(picture, "Edges, rooms, auth and this app are separate services – same page.");
    await log(ada, "Edges, rooms, auth and this app are separate services – same page.").waitFor();
    await here(ada).getByRole("button", { name: "Katherine" }).click();
    await say(ada, "Welcome! This line is for you alone.");
    await log(picture, "Welcome! This line is for you alone.").waitFor();
    await types(grace, "me too", picture, "Grace");
    if (flags.screenshot) await picture.screenshot({ path: flags.screenshot });
    if (!flags.screenshot || !flags["every-look"]) return;
    await picture.getByRole("button", { name: "Change between light and dark" }).click();
    await grace.locator("#text").pressSequentially("!");
    await picture.screenshot({ path: flags.screenshot.replace(/(\.png)?$/, "-dark.png") });
    await picture.setViewportSize({ width: 400, height: 780 });
    await picture.screenshot({ path: flags.screenshot.replace(/(\.png)?$/, "-phone.png") });
  },
  async noComplaints() {
    assert.deepEqual(problems.filter((p) => !/ERR_INTERNET_DISCONNECTED/.test(p)), []); // which are of comesBack
  },
};

if (!flags.url) {
  console.error("--url is missing");
  process.exit(2);
}
let failed = false;
try {
  browser = await chromium.launch({ executablePath: browserPath(), args });
  for (const [name, step] of Object.entries(steps)) {
    failed = !(await report(`browser/${name}`, step));
    if (failed) break; // each step builds on those before it
  }
} finally {
  await browser?.close();
}
process.exit(failed ? 1 : 0);
