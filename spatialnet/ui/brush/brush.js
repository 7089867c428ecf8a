/* A brush over a chip: dragging removes places or, when it begins on a removed one, restores them. What is removed is told to
 * Streamlit when the stroke ends or the keys pause. */

const PAUSE = 300

class Brush {
  /* gone: numbers of the removed places; at: where the keys are; removes: what the stroke does. */
  constructor(root) {
    this.board = root.querySelector(".board")
    this.gone = new Set()
    this.at = 0
    this.board.addEventListener("pointerdown", event => this.begin(event))
    this.board.addEventListener("pointermove", event => { if (this.stroke) this.paint(this.place(event)) })
    this.board.addEventListener("pointerup", () => this.end())
    this.board.addEventListener("pointercancel", () => this.end())
    this.board.addEventListener("keydown", event => this.key(event))
  }

  mount({ data, setStateValue }) {
    this.tell = setStateValue
    if (this.name === data.name) return
    this.name = data.name
    this.side = data.side
    this.gone = new Set(data.gone)
    this.at = 0
    this.board.style.backgroundImage = `url("${data.picture}")`
    this.board.style.gridTemplateColumns = `repeat(${data.side}, 1fr)`
    this.board.replaceChildren(...Array.from({ length: data.side }, (_, row) => {
      const line = document.createElement("div")
      line.className = "line"
      line.role = "row"
      line.append(...Array.from({ length: data.side }, (_, column) => {
        const place = document.createElement("button")
        place.type = "button"
        place.role = "gridcell"
        place.ariaLabel = `Row ${row + 1}, column ${column + 1}`
        place.tabIndex = row + column ? -1 : 0
        return place
      }))
      return line
    }))
    this.show()
  }

  places() {
    return this.board.querySelectorAll("button")
  }

  show() {
    this.places().forEach((place, i) => { place.ariaSelected = String(this.gone.has(i)) })
  }

  place(event) {
    const box = this.board.getBoundingClientRect()
    const column = Math.floor(this.side * (event.clientX - box.left) / box.width)
    const row = Math.floor(this.side * (event.clientY - box.top) / box.height)
    return row < 0 || column < 0 || row >= this.side || column >= this.side ? -1 : row * this.side + column
  }

  begin(event) {
    if (event.button) return
    const i = this.place(event)
    if (i < 0) return
    this.board.setPointerCapture(event.pointerId)
    this.stroke = true
    this.removes = !this.gone.has(i)
    this.focus(i)
    this.paint(i)
    event.preventDefault()
  }

  paint(i) {
    if (i < 0) return
    if (this.removes) this.gone.add(i)
    else this.gone.delete(i)
    this.show()
  }

  end() {
    if (!this.stroke) return
    this.stroke = false
    this.send()
  }

  send() {
    clearTimeout(this.timer)
    this.timer = undefined
    this.tell("gone", [...this.gone].sort((a, b) => a - b))
  }

  focus(i) {
    const places = this.places()
    places[this.at].tabIndex = -1
    this.at = i
    places[i].tabIndex = 0
    places[i].focus()
  }

  key(event) {
    const row = Math.floor(this.at / this.side), column = this.at % this.side
    const steps = {
      ArrowLeft: column > 0 && -1, ArrowRight: column < this.side - 1 && 1,
      ArrowUp: row > 0 && -this.side, ArrowDown: row < this.side - 1 && this.side,
    }
    if (event.key in steps) {
      if (steps[event.key]) this.focus(this.at + steps[event.key])
    } else if (event.key === " " || event.key === "Enter") {
      this.removes = !this.gone.has(this.at)
      this.paint(this.at)
      this.later()
    } else if (event.key === "Escape" && this.gone.size) {
      this.gone.clear()
      this.show()
      this.later()
    } else {
      return
    }
    event.preventDefault()
    event.stopPropagation()
  }

  later() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.send(), PAUSE)
  }
}

const mounted = new WeakMap()

export default function (component) {
  const root = component.parentElement
  if (!mounted.has(root)) mounted.set(root, new Brush(root))
  const brush = mounted.get(root)
  brush.mount(component)
  return () => { if (brush.timer) brush.send() }
}
