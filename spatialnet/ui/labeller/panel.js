/* Everything around the picture. It is drawn after the picture was painted, and only where something has changed. */

const make = (tag, className = "", text) => {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

class Panel {
  later(spoken) {
    if (spoken !== undefined) this.spoken = spoken
    if (this.pending) return
    this.pending = true
    requestAnimationFrame(() => setTimeout(() => { this.pending = false; this.draw() }))
  }

  draw() {
    this.prefetch()
    this.drawHeader()
    this.drawNotes()
    this.drawPlace()
    this.drawClasses()
    this.drawModel()
    this.drawDecided()
    if (this.spoken !== undefined) {
      const here = this.item ? `Chip ${this.item.chip}, ${this.at + 1} of ${this.queue.length}.` : "End of the queue."
      this.$(".spoken").textContent = `${this.spoken} ${here}`
      this.spoken = undefined
    }
  }

  drawHeader() {
    this.fill(".tasks", this.data.tasks.map((task, index) => {
      const button = make("button", "", task.label)
      button.setAttribute("aria-pressed", String(index === this.task))
      button.title = "Next task (T)"
      button.onclick = () => this.nextTask(index)
      return button
    }), `${this.task}|${this.data.tasks.map(t => t.label).join("|")}`)
    const total = this.queue.length
    const answered = this.queue.filter(item => (this.answer(item.chip)?.kind ?? "skip") !== "skip").length
    this.$(".count").textContent = total ? `${Math.min(this.at + 1, total)} of ${total} · ${answered} answered` : ""
    this.$("progress").value = total ? answered / total : 0
    const waiting = outbox().waiting.size, failing = outbox().failures > 0 && waiting > 0
    const saved = this.$(".saved")
    saved.dataset.state = failing ? "failing" : waiting ? "waiting" : "saved"
    saved.textContent = waiting ? `${waiting} waiting to be saved` : "All saved"
    saved.title = failing ? `${outbox().problem} Trying again; your answers are kept in this browser.` : "Send what waits now"
  }

  drawNotes() {
    this.fill(".notes", this.notes.map(note => {
      const box = make("div")
      box.append(make("span", "", note.text))
      const add = (text, action) => {
        const button = make("button", "", text)
        button.onclick = action
        box.append(button)
      }
      const close = () => { this.notes = this.notes.filter(other => other !== note); this.later() }
      add("Look", () => this.visit(note.chip, note.task))
      if (note.mine) add("Take mine back", () => { close(); this.takeBack(note.mine) })
      add("Dismiss", close)
      return box
    }), this.notes.map(note => note.text).join("|"))
  }

  drawPlace() {
    const { item } = this
    this.$(".where").textContent = item ? [`Chip ${item.chip}`, item.split].filter(Boolean).join(" · ") : ""
    this.$(".why").textContent = item?.why ?? ""
    const image = this.$(".stage img")
    if (image) image.alt = `Chip ${item?.chip}, ${this.data.composites[this.composite].name}`
    const shown = this.alternate ? (this.composite + 1) % this.data.composites.length : this.composite
    this.fill(".composites", this.data.composites.length < 2 ? [] : this.data.composites.map(({ name }, index) => {
      const button = make("button", "", name)
      button.setAttribute("aria-pressed", String(index === shown))
      button.title = "Hold B for the next bands"
      button.onclick = () => { this.composite = index; this.show(); this.later() }
      return button
    }), String(shown))
  }

  drawClasses() {
    const task = this.now, many = task.kind === "multilabel", count = task.kind === "count"
    this.$(".question").textContent = {
      multiclass: `${task.label}: which one?`, binary: `${task.label}?`, multilabel: `${task.label}: which are there?`,
      count: `${task.label}: how many?`,
    }[task.kind]
    this.$(".classes").setAttribute("aria-label", task.label)
    this.$(".save").hidden = !(many || count)
    const answer = this.answer(), values = many || count ? this.values() : null
    const key = JSON.stringify([task.name, this.at, answer?.value, answer?.kind, values])
    this.fill(".classes", task.classes.map((name, index) => this.classRow(task, name, index, answer, values)), key)
    const off = !this.item
    for (const button of this.root.querySelectorAll(".classes button, [data-do=skip], [data-do=unsure], .save")) button.disabled = off
    this.$("[data-do=undo]").disabled = !this.done.length
    this.$("[data-do=back]").disabled = this.at === 0
    this.$("[data-do=next]").disabled = off
    if (this.pressed !== undefined) {
      const row = this.$(".classes").children[this.pressed]
      this.pressed = undefined
      row?.classList.remove("pressed")
      row?.getBoundingClientRect() // restarts the animation
      row?.classList.add("pressed")
    }
  }

  classRow(task, name, index, answer, values) {
    const count = task.kind === "count", row = make(count ? "label" : "button")
    const swatch = make("span", "swatch")
    swatch.style.background = task.colours[index]
    if (!count && index < 9) row.append(make("kbd", "", index + 1))
    row.append(swatch, make("span", "name", name))
    if (count) {
      const field = make("input")
      Object.assign(field, { type: "number", min: 0, max: 1e9, step: "any", value: answer?.kind === "label" ? answer.value[index] ?? "" : "" })
      field.onkeydown = event => { if (event.key === "Enter") { event.preventDefault(); this.save() } }
      row.append(field)
      return row
    }
    const held = values ? values[index] === 1 : answer?.kind === "label" && answer.value === index
    const state = values ? (values[index] === null ? "unknown" : held ? "present" : "") : held ? "your answer" : ""
    row.append(make("span", "state", state))
    row.type = "button"
    row.setAttribute("aria-pressed", String(held))
    row.onclick = event => this.choose(index, event.shiftKey)
    return row
  }

  /* What the model says: about the chip on the screen only after an answer or on M, else about the one just answered. */
  drawModel() {
    const task = this.now, box = this.$(".model"), here = this.item, answer = this.answer()
    const scores = here?.model?.[task.name]
    const open = scores && ((answer && answer.kind !== "skip") || this.peeked.has(`${task.name}/${here.chip}`))
    const last = this.last?.said.task === task.name ? this.last : null
    box.hidden = false
    if (open) this.drawScores(box, `Chip ${here.chip}`, task, answer, scores)
    else if (last?.item.model?.[task.name]) this.drawScores(box, `Chip ${last.item.chip}`, task, last.said, last.item.model[task.name])
    else if (scores) {
      const button = make("button", "", "The model's answer is shown after yours. ")
      button.append(make("kbd", "", "M"), " looks now")
      button.onclick = () => this.peek()
      box.replaceChildren(button)
    } else box.hidden = true
  }

  drawScores(box, where, task, answer, scores) {
    const said = make("div", "said"), mine = make("span", "", `${where}: `)
    mine.append(answer ? "you " : "the model", make("b", "", answer ? answerText(task, answer) : ""))
    said.append(mine)
    const same = answer && agrees(task, answer, scores)
    if (same === true) said.append(make("span", "agrees", "model agrees"))
    if (same === false) said.append(make("span", "differs", "model differs"))
    const bars = make("div", "bars")
    const order = scores.map((score, index) => ({ score, index })).sort((a, b) => b.score - a.score).slice(0, task.kind === "multilabel" ? 9 : 3)
    const most = Math.max(...scores, 1e-9)
    for (const { score, index } of order) {
      const track = make("span", "track"), bar = make("i")
      bar.style.width = `${100 * (task.kind === "count" ? score / most : score)}%`
      bar.style.background = task.colours[index]
      track.append(bar)
      bars.append(make("span", "", task.classes[index]), track, make("span", "number", task.kind === "count" ? score.toFixed(1) : percent(score)))
    }
    box.replaceChildren(said, bars)
  }

  drawDecided() {
    const shown = this.done.slice(-10).reverse()
    const key = `${shown.map(said => said.uuid).join()}|${this.item?.chip}|${this.now.name}`
    this.fill(".decided ol", shown.length ? shown.map(said => this.thumbnail(said)) : [make("li", "none", "They appear here; click one to go back to it.")], key)
  }

  thumbnail(said) {
    const task = this.data.tasks.find(t => t.name === said.task), row = make("li"), button = make("button"), image = new Image()
    image.src = this.address(said, 0)
    image.alt = ""
    const text = task ? answerText(task, said) : ""
    const answer = make("span", "answer", text)
    const one = task && said.kind === "label" && typeof said.value === "number" ? said.value : -1
    if (one >= 0) answer.style.setProperty("--mark", task.colours[one])
    button.type = "button"
    button.title = `Chip ${said.chip}, ${task?.label}: ${text}`
    button.setAttribute("aria-label", `Back to chip ${said.chip}, ${text}`)
    button.setAttribute("aria-current", String(said.chip === this.item?.chip && said.task === this.now.name))
    button.onclick = () => this.visit(said.chip, said.task, "")
    button.append(image, answer)
    row.append(button)
    return row
  }

  /* Replaces children only when what they show has changed, so that focus and pictures stay. */
  fill(selector, children, key) {
    const box = this.$(selector)
    if (box.dataset.key === key) return
    const focused = [...box.querySelectorAll("button, input")].indexOf(box.getRootNode().activeElement)
    box.dataset.key = key
    box.replaceChildren(...children)
    if (focused >= 0) box.querySelectorAll("button, input")[focused]?.focus()
  }
}
