/* The grid of chips: one contact sheet, one cell per chip. Picking, moving and reading need no script run; what is picked is
 * told to Streamlit when the person pauses, and opening a chip at once.
 *
 * `data-painted` on the section names the page of chips that is on the screen. */

const PAUSE = 250

class ChipGrid {
  /* page: what is shown; picked: chips; at: position that the keys move from; anchor: where a range begins. */
  constructor(root) {
    this.root = root.querySelector(".grid")
    this.cells = this.root.querySelector(".cells")
    this.about = this.root.querySelector(".about")
    this.picked = new Set()
    this.at = 0
    this.anchor = 0
    this.cells.addEventListener("click", event => this.click(event))
    this.cells.addEventListener("dblclick", event => this.open(this.position(event)))
    this.cells.addEventListener("keydown", event => this.key(event))
    this.cells.addEventListener("pointerover", event => this.tell(this.position(event)))
    this.cells.addEventListener("pointerleave", () => this.tell(-1))
    this.cells.addEventListener("focusin", event => this.tell(this.position(event)))
  }

  mount({ data, setStateValue, setTriggerValue }) {
    this.setState = setStateValue
    this.trigger = setTriggerValue
    const fresh = this.page?.name !== data.name, heard = data.picked.join()
    // While a click waits to be told, what the server says is older.
    if (!this.timer && this.sent !== heard) {
      this.picked = new Set(data.picked)
      this.sent = heard
    }
    if (!fresh) {
      this.page = data
      return this.mark()
    }
    this.cells.dataset.stale = ""
    const sheet = new Image()
    this.loading = sheet
    sheet.onload = sheet.onerror = () => { if (this.loading === sheet) this.show(data) }
    sheet.src = data.sheet
  }

  show(page) {
    const known = this.page?.chips.join() === page.chips.join()
    this.page = page
    if (!known) this.at = this.anchor = 0
    this.cells.style.setProperty("--cell", `${page.cell}px`)
    const rows = Math.ceil(page.chips.length / page.columns)
    const held = this.cells.contains(this.cells.getRootNode().activeElement)
    this.cells.replaceChildren(...page.chips.map((chip, i) => {
      const cell = document.createElement("button")
      Object.assign(cell, { type: "button", className: "cell", role: "option", tabIndex: i === this.at ? 0 : -1, title: page.about[i] })
      cell.ariaLabel = page.about[i]
      cell.dataset.chip = chip
      cell.style.setProperty("--edge", page.colours[page.edges[i]] ?? "transparent")
      cell.style.backgroundImage = `url("${page.sheet}")`
      cell.style.backgroundSize = `${100 * page.columns}% ${100 * rows}%`
      const across = i % page.columns, down = Math.floor(i / page.columns)
      cell.style.backgroundPosition = `${page.columns > 1 ? 100 * across / (page.columns - 1) : 0}% ${rows > 1 ? 100 * down / (rows - 1) : 0}%`
      return cell
    }))
    delete this.cells.dataset.stale
    this.mark()
    this.tell(-1)
    if (held) this.focus(this.at)
    requestAnimationFrame(() => setTimeout(() => { this.root.dataset.painted = page.name }))
  }

  mark() {
    for (const cell of this.cells.children) cell.ariaSelected = String(this.picked.has(Number(cell.dataset.chip)))
  }

  position(event) {
    const cell = event.composedPath().find(part => part.classList?.contains("cell"))
    return cell ? [...this.cells.children].indexOf(cell) : -1
  }

  tell(i) {
    if (i < 0 || !this.page) {
      const count = this.picked.size
      this.about.textContent = `Click picks a chip, Shift a row of them, Ctrl one more. Enter opens it.${count ? ` ${count} picked.` : ""}`
      return
    }
    const [first, ...rest] = this.page.about[i].split(" · ")
    const bold = document.createElement("b")
    bold.textContent = first
    this.about.replaceChildren(bold, ["", ...rest].join(" · "))
  }

  click(event) {
    const i = this.position(event)
    if (i < 0) return
    this.pick(i, { range: event.shiftKey, more: event.ctrlKey || event.metaKey })
    this.focus(i)
  }

  pick(i, { range = false, more = false }) {
    const chip = this.page.chips[i]
    if (range) {
      if (!more) this.picked.clear()
      const [from, to] = [Math.min(this.anchor, i), Math.max(this.anchor, i)]
      for (const one of this.page.chips.slice(from, to + 1)) this.picked.add(one)
    } else {
      const alone = this.picked.size === 1 && this.picked.has(chip)
      if (more ? this.picked.has(chip) : alone) this.picked.delete(chip)
      else {
        if (!more) this.picked.clear()
        this.picked.add(chip)
      }
      this.anchor = i
    }
    this.changed()
  }

  changed() {
    this.mark()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.send(), PAUSE)
  }

  send() {
    clearTimeout(this.timer)
    this.timer = undefined
    const picked = [...this.picked]
    this.sent = picked.join()
    this.setState("picked", picked)
  }

  open(i) {
    if (i < 0) return
    clearTimeout(this.timer)
    this.timer = undefined
    this.trigger("open", this.page.chips[i])
  }

  focus(i) {
    const cells = this.cells.children
    if (!cells.length) return
    if (cells[this.at]) cells[this.at].tabIndex = -1
    this.at = Math.min(Math.max(0, i), cells.length - 1)
    cells[this.at].tabIndex = 0
    cells[this.at].focus()
  }

  key(event) {
    const inRow = getComputedStyle(this.cells).gridTemplateColumns.split(" ").length
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -inRow, ArrowDown: inRow, Home: -this.at, End: this.page.chips.length }
    const done = () => { event.preventDefault(); event.stopPropagation() }
    if (event.key in steps) {
      done()
      const next = this.at + steps[event.key]
      if (next < 0 || (next >= this.page.chips.length && event.key !== "End")) return
      this.focus(next)
      if (event.shiftKey) this.pick(this.at, { range: true })
    } else if (event.key === "Enter") {
      done()
      this.open(this.at)
    } else if (event.key === " ") {
      done()
      this.pick(this.at, { more: true })
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      done()
      this.page.chips.forEach(chip => this.picked.add(chip))
      this.changed()
    } else if (event.key === "Escape" && this.picked.size) {
      done()
      this.picked.clear()
      this.changed()
    }
  }
}

const mounted = new WeakMap()

export default function (component) {
  const root = component.parentElement
  if (!mounted.has(root)) mounted.set(root, new ChipGrid(root))
  const grid = mounted.get(root)
  grid.mount(component)
  return () => { if (grid.timer) grid.send() }
}
