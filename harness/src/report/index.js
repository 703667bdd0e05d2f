// Comfort only: without it the page says the same.
(function () {
  "use strict";
  function reveal() {
    var target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (var at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") { at.open = true; }
    }
    if (target) { target.scrollIntoView(); }
  }
  addEventListener("hashchange", reveal);
  if (location.hash) { reveal(); }

  document.querySelectorAll(".command").forEach(function (box) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the replay command");
    button.addEventListener("click", function () {
      var code = box.querySelector("code");
      var said = function (word) {
        button.textContent = word;
        setTimeout(function () { button.textContent = "Copy"; }, 1500);
      };
      var select = function () {
        getSelection().selectAllChildren(code);
        said("Selected");
      };
      if (navigator.clipboard) {
        navigator.clipboard.writeText(code.textContent).then(function () { said("Copied"); }, select);
      } else {
        select();
      }
    });
    box.appendChild(button);
  });

  // On paper nothing can be unfolded, so the cases are; long lists stay folded.
  var folded = [];
  addEventListener("beforeprint", function () {
    folded = Array.prototype.slice.call(document.querySelectorAll("details.case:not([open])"));
    folded.forEach(function (part) { part.open = true; });
  });
  addEventListener("afterprint", function () {
    folded.forEach(function (part) { part.open = false; });
  });
})();
