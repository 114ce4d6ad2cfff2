// A quiz marks itself: the answers are the buttons. No Python is needed once it is shown, so the same
// module serves notebooks, live or reopened, and web pages. It works on the list that quiz.py writes:
// each question is a paragraph, a list of answers, and the verdicts on them, folded away.

const STYLE = `
/* JupyterLab enlarges the text of a lesson for a projector, but not by itself what a cell shows. */
.quiz.live { list-style: none; padding: 0; margin: 0; max-width: 46em; font-size: var(--jp-content-font-size1, inherit); }
.quiz.live > li { margin: 0 0 1.6em; }
.quiz.live fieldset { border: 0; padding: 0; margin: 0; min-width: 0; }
/* All that classic Notebook gives a legend is taken back: its grey can't be read in the dark. */
.quiz.live legend { padding: 0; border: 0; margin-bottom: .5em; font: inherit; font-weight: 600; color: inherit; }
.quiz.live label { display: flex; gap: .6em; align-items: baseline; padding: .45em .7em; margin: .3em 0; cursor: pointer;
  border: 1px solid color-mix(in srgb, currentColor 28%, transparent); border-radius: 6px; }
.quiz.live label:hover { border-color: currentColor; }
.quiz.live label:has(:focus-visible) { outline: 2px solid currentColor; outline-offset: 2px; }
.quiz.live input { margin: 0; flex: none; accent-color: #0072B2; }
.quiz.live label.right, .quiz.live .right { --c: color-mix(in srgb, #009E73 72%, currentColor); }
.quiz.live label.wrong, .quiz.live .wrong { --c: color-mix(in srgb, #D55E00 78%, currentColor); }
.quiz.live :is(label.right, label.wrong) { border-color: var(--c); }
.quiz.live .verdict { margin: 0 0 .5em; padding: .1em 0 .1em .8em; border-left: 4px solid var(--c); }
.quiz.live .verdict:empty { display: none; }
.quiz.live .verdict b { color: var(--c); }
.score { margin: 0; }
`
let groups = 0

/**
 * Make the list `quiz` answer by itself. `tries` holds, for each question, the numbers of the answers
 * that were chosen, in order; `tried` is called when that changes.
 */
export function enhance(quiz, tries = [], tried = () => {}) {
  const questions = [...quiz.children]
  const score = document.createElement("p")
  score.className = "score"
  score.setAttribute("role", "status")
  const right = []
  const count = () => {
    const begun = questions.filter((_, i) => tries[i]?.length).length
    const first = questions.filter((_, i) => tries[i]?.[0] === right[i]).length
    score.textContent = begun ? `${first} of ${begun} right at the first try` +
      (begun < questions.length ? `, ${questions.length - begun} to go.` : ".") : ""
  }
  questions.forEach((question, i) => {
    const [text, answers, folded] = question.children
    const verdicts = [...folded.querySelectorAll("li")]
    right[i] = verdicts.findIndex(verdict => verdict.querySelector("b"))
    const fieldset = document.createElement("fieldset"), legend = document.createElement("legend")
    legend.innerHTML = `${i + 1}. ${text.innerHTML}`
    const said = document.createElement("p")
    said.setAttribute("role", "status")
    const group = `quiz-${++groups}`
    const labels = [...answers.children].map((answer, number) => {
      const label = document.createElement("label"), input = document.createElement("input")
      Object.assign(input, { type: "radio", name: group, value: number })
      const words = document.createElement("span")
      words.innerHTML = answer.innerHTML
      label.append(input, words)
      return label
    })
    const show = number => {
      labels.forEach((label, k) => label.className = k === number ? (k === right[i] ? "right" : "wrong") : "")
      said.className = `verdict ${labels[number].className}`
      const why = verdicts[number].innerHTML.replace(/^(<b>Right\.<\/b>|Not this one\.)/, "")
      said.innerHTML = `<b>${number === right[i] ? "✓ Right." : "✗ Not this one."}</b>${why}`
      labels[number].after(said)
    }
    fieldset.addEventListener("change", event => {
      tries[i] = [...(tries[i] ?? []), Number(event.target.value)]
      show(Number(event.target.value))
      count()
      tried(tries)
    })
    fieldset.append(legend, ...labels, said)
    question.replaceChildren(fieldset)
    if (tries[i]?.length) {
      labels[tries[i].at(-1)].firstChild.checked = true
      show(tries[i].at(-1))
    }
  })
  const style = document.createElement("style")
  style.textContent = STYLE
  quiz.classList.add("live")
  quiz.before(style)
  quiz.after(score)
  count()
}

/** In a notebook: `page` is the list as HTML. What was chosen is kept with the notebook. */
function render({ model, el }) {
  el.innerHTML = model.get("page")
  el.dataset.lmSuppressShortcuts = "true" // the keys are the quiz's, not JupyterLab's
  el.addEventListener("keydown", event => event.stopPropagation())
  enhance(el.querySelector(".quiz"), structuredClone(model.get("tries")), tries => {
    model.set("tries", structuredClone(tries))
    model.save_changes()
  })
}

export default { render }
