/* The labeller: a picture, one key per class, and an outbox that loses nothing.
 *
 * Order of work on a key: the next picture is put on the screen, the answer goes into the outbox and the browser's store,
 * and everything else (panel, thumbnails, speech, network) waits for the frame to be painted. */

const PREFETCH = 8
const KEEP_PICTURES = 64
const LONGEST = 2 ** 31 - 1

const takesText = element => element.isContentEditable || /^(TEXTAREA|SELECT)$/.test(element.tagName)
  || (element.tagName === "INPUT" && !/^(checkbox|radio|button|submit|image|file|color)$/.test(element.type))

// Where the person is in each queue, while this page of the browser lives.
const desks = (window.__spatialnetDesks ??= new Map())

class Labeller extends Panel {
  /* typed: what keys pressed before their picture was there will do; since: when the picture appeared; draft: classes that
   * Enter would save. */
  constructor(root) {
    super()
    this.root = root.querySelector(".lab")
    this.$ = selector => this.root.querySelector(selector)
    this.pictures = new Map() // address -> { image, ready, failed }
    this.notes = []
    this.onKey = event => this.key(event)
    this.onKeyUp = event => { if (event.key.toLowerCase() === "b") this.otherBands(false) }
    this.onBlur = () => this.otherBands(false)
    this.onNews = news => this.news(news)
    this.bindButtons()
  }

  mount(component) {
    this.trigger = component.setTriggerValue
    window.addEventListener("keydown", this.onKey, true)
    window.addEventListener("keyup", this.onKeyUp, true)
    window.addEventListener("blur", this.onBlur)
    outbox().listeners.add(this.onNews)
    const { data } = component
    const fresh = this.data?.queue_id !== data.queue_id
    this.data = data
    if (!fresh) return this.later()
    const left = desks.get(data.queue_id)
    if (left) Object.assign(this, left) // the person was on another page of the app and comes back
    else this.open(data)
    Object.assign(this, { peeked: new Set(), composite: 0, last: null, typed: [], since: null, draft: null })
    this.show()
    this.later()
    // A picker that was just used would take the number keys for itself.
    const focused = document.activeElement
    if (!focused || focused === document.body || focused.role === "combobox") this.root.focus({ preventScroll: true })
  }

  open(data) {
    this.queue = data.queue.slice()
    this.at = Math.min(Math.max(0, data.start ?? 0), this.queue.length)
    this.task = Math.max(0, data.tasks.findIndex(task => task.name === data.task))
    this.answers = structuredClone(data.answers ?? {})
    this.done = (data.decisions ?? []).slice().reverse() // oldest first
    for (const event of outbox().waiting.values()) this.resume(event)
    while (this.item && this.answer()) this.at += 1
  }

  /* An answer of an earlier visit that the server had not heard of when it made the queue. */
  resume(event) {
    const { dataset, person } = this.data
    if (event.dataset !== dataset || event.person !== person || this.done.some(said => said.uuid === event.uuid)) return
    if (event.kind === "undo") {
      this.done = this.done.filter(said => said.uuid !== event.undoes)
      if (this.answer(event.chip, event.task)?.uuid === event.undoes) delete this.answers[event.task][event.chip]
    } else {
      this.done.push(event)
      this.keep(event)
    }
  }

  unmount() {
    const { queue, at, task, answers, done } = this
    desks.set(this.data.queue_id, { queue, at, task, answers, done })
    window.removeEventListener("keydown", this.onKey, true)
    window.removeEventListener("keyup", this.onKeyUp, true)
    window.removeEventListener("blur", this.onBlur)
    clearTimeout(this.resting)
    outbox().listeners.delete(this.onNews)
    outbox().send()
  }

  get now() { return this.data.tasks[this.task] }
  get item() { return this.queue[this.at] }
  answer(chip = this.item?.chip, task = this.now.name) { return this.answers[task]?.[chip] }

  /* ----- Pictures ----- */

  address(item, composite = this.composite) {
    return this.data.composites[composite].url.replace("{chip}", item.chip)
  }

  picture(address) {
    const known = this.pictures.get(address)
    if (known) return known
    const image = new Image(), picture = { image, ready: false, failed: false }
    this.pictures.set(address, picture)
    if (this.pictures.size > KEEP_PICTURES) this.pictures.delete(this.pictures.keys().next().value)
    image.decoding = "sync"
    image.alt = ""
    image.src = address
    image.decode().then(() => { picture.ready = true }, () => { picture.failed = true }).then(() => {
      if (this.item && this.shown === address) this.show()
      else if (picture.failed) this.pictures.delete(address) // asked for again when its turn comes
    })
    return picture
  }

  /* Puts the current picture on the screen; nothing else. */
  show() {
    const stage = this.$(".stage")
    if (!this.item) {
      this.shown = null
      stage.replaceChildren(this.endMessage())
      return
    }
    const composites = this.data.composites.length
    this.shown = this.address(this.item, this.alternate ? (this.composite + 1) % composites : this.composite)
    const picture = this.picture(this.shown)
    if (picture.failed) {
      this.typed = []
      stage.replaceChildren(this.failMessage())
    } else if (picture.ready) {
      stage.replaceChildren(picture.image)
      if (this.since?.at !== this.at || this.since.task !== this.task) {
        this.since = { at: this.at, task: this.task, time: performance.now() }
      }
      if (this.typed.length) requestAnimationFrame(() => this.typed.length && this.ready() && this.typed.shift()())
    }
    // Else the picture before stays until this one is there: no flicker.
  }

  ready() { return Boolean(this.item && this.pictures.get(this.shown)?.ready) }

  endMessage() {
    const message = make("div", "message")
    const text = this.queue.length ? "That was the last one." : "Nothing waits here."
    message.append(make("strong", "", text))
    const more = this.queue.length ? "Choose another queue or task, or go back with ←." : "Choose another queue or task."
    message.append(make("span", "", more))
    return message
  }

  failMessage() {
    const message = make("div", "message")
    message.append(make("strong", "", "This picture could not be loaded."))
    const again = make("button", "", "Try again")
    again.addEventListener("click", () => { this.pictures.delete(this.shown); this.show() })
    message.append(again)
    return message
  }

  prefetch() {
    for (const item of this.queue.slice(this.at + 1, this.at + 1 + PREFETCH)) this.picture(this.address(item))
    clearTimeout(this.resting)
    if (this.item && this.data.composites.length > 1) {
      // Only for somebody who stays: a fast typist needs the next pictures first.
      const other = this.address(this.item, (this.composite + 1) % this.data.composites.length)
      this.resting = setTimeout(() => this.picture(other), 250)
    }
  }

  /* ----- Saying ----- */

  say(kind, value = null) {
    if (!this.item || this.pictures.get(this.shown)?.failed) return
    // Never label what was not seen: what is typed ahead waits for its picture, in the order in which it was typed.
    if (this.ready() && !this.typed.length) this.sayNow(kind, value)
    else if (this.typed.length < 100) this.typed.push(() => this.sayNow(kind, value))
  }

  sayNow(kind, value) {
    const { chip } = this.item, task = this.now, before = this.answer()
    const looked = before || this.peeked.has(`${task.name}/${chip}`)
    const took = Math.min(LONGEST, Math.round(performance.now() - (this.since?.time ?? performance.now())))
    const item = this.item
    this.at = Math.min(this.at + 1, this.queue.length)
    this.draft = null
    this.show()
    const event = this.event(kind, chip, task.name, { value, run: looked ? this.data.run ?? null : null, milliseconds: took })
    outbox().add(event, this.data.post_url)
    const said = { chip, task: task.name, kind, value, uuid: event.uuid, before }
    this.done.push(said)
    this.keep(said)
    this.last = { item, said }
    this.later(`${answerText(task, said)}.`)
  }

  event(kind, chip, task, more) {
    const { dataset, person, seen } = this.data
    return { uuid: uuid(), person, kind, dataset, chip, task, seen: seen ?? null, ...more }
  }

  keep(said) {
    this.answers[said.task] ??= {}
    if (said.kind === "skip" && this.answers[said.task][said.chip]) return
    this.answers[said.task][said.chip] = said
  }

  undo() {
    if (this.typed.pop()) return
    const said = this.done.pop()
    if (said) this.takeBack(said)
  }

  takeBack(said) {
    this.typed = []
    this.done = this.done.filter(other => other.uuid !== said.uuid)
    if (!outbox().recall(said.uuid)) {
      outbox().add(this.event("undo", said.chip, said.task, { undoes: said.uuid }), this.data.post_url)
    }
    const earlier = this.done.findLast(o => o.chip === said.chip && o.task === said.task && o.kind !== "skip")
    const standing = earlier ?? (said.before?.uuid !== said.uuid ? said.before : undefined)
    if (this.answer(said.chip, said.task)?.uuid === said.uuid) {
      if (standing) this.answers[said.task][said.chip] = standing
      else delete this.answers[said.task][said.chip]
    }
    this.last = null
    this.visit(said.chip, said.task, "Taken back.")
  }

  visit(chip, task, spoken) {
    const known = this.data.tasks.findIndex(t => t.name === task)
    if (known >= 0) this.task = known
    const found = this.queue.findIndex(item => item.chip === chip)
    if (found < 0) this.queue.splice(Math.min(this.at, this.queue.length), 0, { chip })
    this.move((found < 0 ? Math.min(this.at, this.queue.length - 1) : found) - this.at, spoken)
  }

  move(step, spoken) {
    this.at = Math.min(Math.max(0, this.at + step), this.queue.length)
    this.draft = null
    this.show()
    this.later(spoken)
  }

  nextTask(index = (this.task + 1) % this.data.tasks.length) {
    this.task = index
    this.draft = null
    this.last = null
    this.show()
    this.later(`${this.now.label}.`)
  }

  choose(index, unknown = false) {
    if (!this.item || index >= this.now.classes.length || this.now.kind === "count") return
    this.pressed = index
    if (this.now.kind !== "multilabel") {
      if (!unknown) this.say("label", index)
      return
    }
    const draft = this.values()
    draft[index] = unknown ? null : draft[index] === 1 ? 0 : 1
    this.draft = draft
    this.later(`${this.now.classes[index]} ${unknown ? "unknown" : draft[index] ? "present" : "absent"}.`)
  }

  /* What Enter would save: one entry per class. */
  values() {
    const answer = this.answer()
    if (this.draft) return this.draft.slice()
    if (answer?.kind === "label") return answer.value.slice()
    return this.now.classes.map(() => 0)
  }

  save() {
    if (!this.item || (this.now.kind !== "multilabel" && this.now.kind !== "count")) return
    let values = this.values()
    if (this.now.kind === "count") {
      const fields = [...this.root.querySelectorAll(".classes input")]
      if (fields.some(field => !field.checkValidity())) return
      values = fields.map(field => (field.value === "" ? null : Number(field.value)))
    }
    if (values.every(value => value === null)) this.say("unsure")
    else this.say("label", values)
  }

  peek() {
    if (!this.item) return
    const key = `${this.now.name}/${this.item.chip}`
    this.peeked.add(key)
    this.later("")
  }

  otherBands(on) {
    if (Boolean(this.alternate) === on || this.data.composites.length < 2) return
    this.alternate = on
    this.show()
    this.later()
  }

  /* ----- Keys and buttons ----- */

  key(event) {
    const target = event.composedPath()[0]
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    if (takesText(target)) return
    if (event.composedPath().some(node => /^(dialog|menu|listbox)$/.test(node.role ?? "") || node.tagName === "DIALOG")) return
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code ?? "") ?? /^([1-9])$/.exec(event.key)
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key
    const pressable = /^(A|BUTTON|SUMMARY)$/.test(target.tagName) || /^(button|option|tab|link)$/.test(target.role ?? "")
    const actions = {
      z: () => this.undo(), s: () => this.say("skip"), u: () => this.say("unsure"), t: () => this.nextTask(),
      m: () => this.peek(), "?": () => this.$("dialog").showModal(), b: () => this.otherBands(true),
    }
    let action = digit ? () => this.choose(Number(digit[1]) - 1, event.shiftKey) : actions[letter]
    if (event.key === "Enter" && !pressable) action = () => this.save()
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (arrow) action = () => this.move(arrow)
    if (!action) return
    event.preventDefault()
    event.stopPropagation()
    if (event.repeat && !arrow) return // a key that is held down is one answer
    action()
  }

  bindButtons() {
    const actions = {
      undo: () => this.undo(), skip: () => this.say("skip"), unsure: () => this.say("unsure"),
      back: () => this.move(-1), next: () => this.move(1),
    }
    for (const button of this.root.querySelectorAll("[data-do]")) button.onclick = actions[button.dataset.do]
    this.$(".save").onclick = () => this.save()
    this.$(".help").onclick = () => this.$("dialog").showModal()
    this.$(".saved").onclick = () => outbox().flush(0)
    // Clicking leaves the focus where it was, so that Enter goes on meaning "save".
    this.root.addEventListener("mousedown", event => {
      if (event.target.closest("button")) event.preventDefault()
    })
  }

  /* ----- News from the outbox ----- */

  news({ type, conflict, event, reason }) {
    if (type === "conflict") this.addConflict(conflict)
    if (type === "refused") this.notes.push({ text: `Chip ${event.chip} was not stored. ${reason}`, chip: event.chip, task: event.task })
    if (type === "stored") {
      clearTimeout(this.savedTimer)
      this.savedTimer = setTimeout(() => this.trigger("saved", {
        stored: outbox().stored, version: outbox().version, task: this.now.name, at: this.at, queue_id: this.data.queue_id,
      }), 1000)
    }
    this.later()
  }

  addConflict({ uuid: own, chip, task: name, other }) {
    const task = this.data.tasks.find(t => t.name === name), mine = this.done.find(said => said.uuid === own)
    if (!task || !mine) return
    const text = `Chip ${chip} was also labelled by ${other.person} as ${answerText(task, other)}; `
      + `yours (${answerText(task, mine)}) is kept as the latest.${mine === this.done.at(-1) ? " Z takes it back." : ""}`
    this.notes.push({ text, chip, task: name, mine })
  }
}

const mounted = new WeakMap()

export default function (component) {
  const root = component.parentElement
  if (!mounted.has(root)) mounted.set(root, new Labeller(root))
  const labeller = mounted.get(root)
  labeller.mount(component)
  return () => labeller.unmount()
}
