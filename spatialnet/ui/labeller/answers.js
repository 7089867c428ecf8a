/* What answers and scores look like as text. An answer is { kind, value }; scores are one number per class. */

const percent = score => `${Math.round(100 * score)} %`

function answerText(task, answer) {
  if (answer.kind === "skip") return "skipped"
  if (answer.kind === "unsure") return "unsure"
  if (task.kind === "multiclass" || task.kind === "binary") return task.classes[answer.value]
  if (task.kind === "count") return task.classes.map((name, i) => `${answer.value[i] ?? "?"} ${name}`).join(", ")
  const present = task.classes.filter((_, i) => answer.value[i] === 1)
  return present.length ? present.join(", ") : "none present"
}

function modelValue(task, scores) {
  if (task.kind === "count") return scores
  return task.kind === "multilabel" ? scores.map(score => Number(score >= 0.5)) : scores.indexOf(Math.max(...scores))
}

function agrees(task, answer, scores) {
  if (answer.kind !== "label" || task.kind === "count") return null
  const model = modelValue(task, scores)
  if (task.kind !== "multilabel") return model === answer.value
  return answer.value.every((value, i) => value === null || value === model[i])
}
