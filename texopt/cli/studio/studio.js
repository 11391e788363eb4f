// Sends the textures of the run to the frame that shows its mesh, as they are made.
"use strict";

const ready = new WeakMap();  // the windows of meshes that can show textures, and the step whose textures they have

addEventListener("message", ({ source, data }) => {
  if (data === "texopt viewer is ready") ready.set(source, -1);
});

async function update(frame) {
  const target = frame.contentWindow, parts = JSON.parse(frame.dataset.parts);
  if (!ready.has(target)) return;
  const { step, textures } = await (await fetch("/live")).json();
  if (!textures.length || step === ready.get(target)) return;
  const images = await Promise.all(textures.filter(name => name in parts).map(async name => {
    const answer = await fetch(`/live/${encodeURIComponent(name)}`);
    if (answer.status !== 200) throw new Error(`no ${name}`);
    const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    return { part: parts[name], image: await createImageBitmap(await answer.blob(), exact) };
  }));
  for (const one of images) target.postMessage(one, "*", [one.image]);
  ready.set(target, step);
}

async function watch() {
  const frame = document.querySelector("iframe[data-parts]");
  if (frame) await update(frame).catch(() => {});  // there will be newer ones
  setTimeout(watch, 1000);
}

watch();
