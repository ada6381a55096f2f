// Sends a picture that is dropped or chosen to the server of this page, and shows what it answers.
(async () => {
  const at = (id) => document.getElementById(id);
  const radios = [...document.querySelectorAll("input[name=direction]")];
  const shown = ["seen", "translation", "heatmap"];
  let file = null;
  let asked = null; // the request under way: a new one takes its place
  const compiled = new Set(); // the directions that have given a picture

  const say = (words, isProblem = false) => {
    at("status").textContent = words;
    at("status").classList.toggle("problem", isProblem);
  };
  const gone = "The server does not answer: it has ended, or cannot be reached.";

  let about;
  try {
    about = await (await fetch("about.json")).json();
  } catch {
    say(gone, true);
    return;
  }
  document.title = `${about.name}, to try`;
  at("name").textContent = about.name;
  at("facts").textContent = about.facts;
  at("hint").textContent = about.hint;
  const megabytes = (bytes) => `${Math.floor(bytes / 1e5) / 10} MB`;
  at("limit").textContent = megabytes(about.limit_bytes);
  for (const radio of radios) {
    radio.disabled = !about.directions.includes(radio.value);
    radio.parentElement.title = radio.disabled ? "this file or checkpoint holds no generator for it" : "";
  }
  radios.find((radio) => !radio.disabled).checked = true;

  const show = (answer, direction) => {
    const stem = file.name.replace(/\.[^.]*$/, "") || "picture";
    for (const name of shown) {
      const bytes = Uint8Array.from(atob(answer[name]), (sign) => sign.charCodeAt(0));
      URL.revokeObjectURL(at(name).src);
      at(name).src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    }
    for (const [name, ending] of [["translation", ""], ["heatmap", ".heatmap"]]) {
      at(`save_${name}`).href = at(name).src;
      at(`save_${name}`).download = `${stem}.${direction}${ending}.png`;
    }
    const [high, wide] = answer.size;
    say([file.name, `${wide} × ${high} px`, `${answer.seconds.toFixed(2)} s`, ...answer.notes].join(" · "));
    at("pictures").hidden = false;
  };

  // What a browser says of its own failure to read a file is the same as of a server that has ended: so it reads first.
  const bytesOf = async (file) => {
    try {
      return await file.arrayBuffer();
    } catch {
      return null;
    }
  };

  const waiting = (direction) =>
    about.engine === "mindspore" && !compiled.has(direction)
      ? "Before its first picture a network is compiled, for seconds to minutes."
      : "It is large, or behind other pictures.";

  const translate = async () => {
    asked?.abort();
    const mine = (asked = new AbortController());
    at("pictures").hidden ||= file !== at("pictures").of;
    if (file.size > about.limit_bytes) {
      document.body.classList.remove("busy");
      say(`${file.name}: ${megabytes(file.size)}, the limit is ${megabytes(about.limit_bytes)}: save it smaller`, true);
      return;
    }
    const direction = radios.find((radio) => radio.checked).value;
    document.body.classList.add("busy");
    say(`Translating ${file.name} ...`);
    const patience = setTimeout(() => {
      say(`Translating ${file.name} ... ${waiting(direction)}`);
    }, 2500);
    try {
      const body = await bytesOf(file);
      if (mine !== asked) return;
      if (!body) {
        at("pictures").hidden = true;
        say(`${file.name}: cannot be read: a folder, or changed since it was chosen: choose it again`, true);
        return;
      }
      const request = { method: "POST", body, signal: mine.signal };
      const response = await fetch(`translate?direction=${direction}`, request);
      const answer = await response.json();
      if (mine !== asked) return;
      if (response.ok) {
        compiled.add(direction);
        show(answer, direction);
        at("pictures").of = file;
      } else {
        at("pictures").hidden = true;
        say(`${file.name}: ${answer.problem}`, true);
      }
    } catch {
      if (mine === asked) say(gone, true);
    } finally {
      clearTimeout(patience);
      if (mine === asked) document.body.classList.remove("busy");
    }
  };

  const take = (files) => {
    if (files.length !== 1) {
      say("One picture at a time, as a file.", true);
      return;
    }
    file = files[0];
    translate();
  };
  at("file").addEventListener("change", () => {
    take([...at("file").files]);
    at("file").value = ""; // so that the same file can be chosen again
  });
  for (const radio of radios) radio.addEventListener("change", () => file && translate());
  const over = (isOver) => at("drop").classList.toggle("over", isOver);
  addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would leave the page for the picture
    over(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || over(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    take([...event.dataTransfer.files]);
  });
})();
