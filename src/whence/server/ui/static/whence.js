// A little help for those who have scripts; every page works without them.

// The arrows of a card on the journey map.
const map = document.querySelector(".map");
if (map) {
  const arrows = [...map.querySelectorAll(".arrows path")];
  const show = (card, on) => {
    for (const arrow of arrows) {
      const mine = [arrow.dataset.from, arrow.dataset.to].includes(card.dataset.node);
      arrow.classList.toggle("lit", on && mine);
      arrow.classList.toggle("dim", on && !mine);
    }
  };
  for (const card of map.querySelectorAll(".card[data-node]")) {
    card.addEventListener("mouseenter", () => show(card, true));
    card.addEventListener("mouseleave", () => show(card, false));
    card.addEventListener("focusin", () => show(card, true));
    card.addEventListener("focusout", () => show(card, false));
  }
}

// All of a tree at once.
for (const tree of document.querySelectorAll(".tree")) {
  const bar = document.createElement("p");
  bar.className = "actions";
  for (const [words, open] of [["Open all", true], ["Close all", false]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", () => {
      for (const part of tree.querySelectorAll("details")) part.open = open;
    });
    bar.append(button, " ");
  }
  tree.before(bar);
}

// "/" asks whence, as in other tools.
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  document.querySelector("#ask")?.focus();
});
