"use strict";

const part = (id) => document.getElementById(id);

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function say(text, wrong) {
  part("state").textContent = text;
  part("state").classList.toggle("error", Boolean(wrong));
}

function show(file, found) {
  URL.revokeObjectURL(part("photo").src);
  part("photo").src = URL.createObjectURL(file);
  part("classes").replaceChildren(
    ...found.classes.map((one) => {
      const meter = element("meter");
      meter.value = one.share;
      const row = element("li");
      row.append(element("span", one.name), meter, element("span", `${(100 * one.share).toFixed(1)} %`));
      return row;
    }),
  );
  if (!found.classes.length) part("classes").append(element("li", "Nothing is found."));
  part("changes").textContent = found.changes.length ? `The photo was ${found.changes.join("; ")}.` : "";
  part("pictures").replaceChildren(
    ...found.pictures.flatMap((one) => {
      const image = element("img");
      image.src = one.source;
      image.alt = one.title;
      const figure = element("figure");
      figure.append(image);
      return [element("h2", one.title), figure];
    }),
  );
  part("found").hidden = false;
}

async function look(file) {
  if (!file) return;
  part("found").hidden = true;
  say(`Looking at ${file.name} ...`);
  try {
    const answer = await fetch("/look", { method: "POST", body: file });
    const found = await answer.json();
    if (!answer.ok) return say(found.error, true);
    show(file, found);
    say(file.name);
  } catch (error) {
    say("The process does not answer: has it ended?", true);
  }
}

part("file").addEventListener("change", (event) => look(event.target.files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(name, (event) => {
    event.preventDefault();
    part("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") look(event.dataTransfer.files[0]);
  });
}
