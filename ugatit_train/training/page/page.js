// The slider over the samples, the age of the page, and a running run's page that loads itself again.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const slider = document.getElementById("step");
  if (slider) {
    const pictures = [...document.querySelectorAll("img[data-key]")];
    const newest = Object.fromEntries(pictures.map((picture) => [picture.dataset.key, picture.src]));
    const shown = document.getElementById("shown");
    const show = () => {
      const i = Number(slider.value);
      for (const picture of pictures) {
        const kept = data.samples[i][picture.dataset.key];
        picture.src = kept ? "data:image/jpeg;base64," + kept : newest[picture.dataset.key];
      }
      shown.textContent = data.steps[i].toLocaleString("en");
    };
    slider.addEventListener("input", () => {
      show();
      // The address keeps the place when the page is loaded again, and can be sent to somebody.
      const last = slider.value === slider.max;
      history.replaceState(null, "", last ? location.pathname : "#step=" + data.steps[slider.value]);
    });
    const asked = data.steps.indexOf(Number(location.hash.replace("#step=", "")));
    slider.value = asked < 0 ? slider.max : asked;
    slider.disabled = data.steps.length < 2;
    if (asked >= 0) show();
  }
  const age = document.getElementById("age");
  if (age && data.written_s) {
    const tell = () => {
      const minutes = Math.round(Date.now() / 60000 - data.written_s / 60);
      const ago = minutes < 1 ? "just now" : minutes < 120 ? minutes + " min ago" : Math.round(minutes / 60) + " h ago";
      const late = document.body.className === "running" && minutes * 60 > 3 * data.every_s + 120;
      age.textContent = ago + (late ? ": later than usual. The run may have been killed: --resume goes on." : "");
      age.className = late ? "late" : "";
    };
    tell();
    setInterval(tell, 30000);
    if (document.body.className === "running") {
      setTimeout(() => location.reload(), 1000 * Math.min(600, Math.max(10, data.every_s)));
    }
  }
})();
