/* The outbox: label events wait here, and in localStorage, until the server has answered 200. */

const BATCH = 100 // a request that outlives its page may carry 64 KB
const STORE = "spatialnet.label."
const ORPHAN_SECONDS = 20

const uuid = () => {
  if (crypto.randomUUID) return crypto.randomUUID() // only on https and localhost
  const b = crypto.getRandomValues(new Uint8Array(16))
  b[6] = (b[6] & 15) | 64
  b[8] = (b[8] & 63) | 128
  const h = Array.from(b, x => x.toString(16).padStart(2, "0")).join("")
  return [h.slice(0, 8), h.slice(8, 12), h.slice(12, 16), h.slice(16, 20), h.slice(20)].join("-")
}

class Outbox {
  constructor() {
    this.waiting = new Map() // uuid -> event, in the order in which they were made
    this.sending = new Set()
    this.adopted = new Set() // of another tab that seems to be closed
    this.known = new Map() // dataset/task/chip -> highest event id seen
    this.failures = 0
    this.listeners = new Set()
    this.stored = 0
    this.version = 0
    this.tab = sessionStorage.getItem("spatialnet.tab") || uuid()
    sessionStorage.setItem("spatialnet.tab", this.tab)
    this.adopt(true)
    window.addEventListener("pagehide", () => this.send(true))
    window.addEventListener("online", () => this.flush(0))
    setInterval(() => this.adopt(false), ORPHAN_SECONDS * 1000)
  }

  /* Events that an earlier page left behind: this tab's at once, another's when it had time to send them itself. */
  adopt(own) {
    const left = []
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i)
      if (!key.startsWith(STORE) || this.waiting.has(key.slice(STORE.length))) continue
      try { left.push(JSON.parse(localStorage.getItem(key))) } catch { localStorage.removeItem(key) }
    }
    for (const item of left.sort((a, b) => a.at - b.at)) {
      const mine = own && item.tab === this.tab
      if (!mine && Date.now() - item.at < ORPHAN_SECONDS * 1000) continue
      this.waiting.set(item.event.uuid, item.event)
      if (!mine) this.adopted.add(item.event.uuid)
    }
    if (this.waiting.size) this.flush(0)
  }

  add(event, url) {
    this.url = url
    this.waiting.set(event.uuid, event)
    try {
      localStorage.setItem(STORE + event.uuid, JSON.stringify({ at: Date.now(), tab: this.tab, event }))
    } catch { /* the browser's store is full: the event still waits in this page */ }
    this.flush(200)
  }

  /* Takes an event back that was not sent yet. */
  recall(id) {
    if (!this.waiting.has(id) || this.sending.has(id)) return false
    this.drop(id)
    return true
  }

  drop(id) {
    this.waiting.delete(id)
    this.adopted.delete(id)
    localStorage.removeItem(STORE + id)
  }

  flush(milliseconds) {
    if (this.timer && milliseconds > 0) return // a steady typist must not put saving off
    clearTimeout(this.timer)
    this.timer = setTimeout(() => { this.timer = 0; this.send() }, milliseconds)
  }

  /* One request at a time, so that the order stays. A page that is left cannot wait for the one before and sends all again;
   * the server knows events that it has. */
  async send(leaving = false) {
    if (this.sending.size && !leaving) return
    for (const id of this.adopted) if (!localStorage.getItem(STORE + id)) this.drop(id) // its own tab has dealt with it
    const batch = [...this.waiting.values()].slice(0, BATCH)
    if (!batch.length) return
    for (const event of batch) {
      this.sending.add(event.uuid)
      event.seen = this.known.get(place(event)) ?? event.seen
    }
    try {
      const answer = await fetch(this.url || "/api/labels", {
        method: "POST", keepalive: true, credentials: "same-origin", signal: AbortSignal.timeout(20_000),
        headers: { "content-type": "application/json", "x-spatialnet": "1" }, body: JSON.stringify({ events: batch }),
      })
      const body = await answer.json().catch(() => ({}))
      if (answer.ok) this.accept(batch, body)
      else if (answer.status === 422 && batch.some(event => body.refused?.[event.uuid])) this.refuse(batch, body.refused)
      else throw new Error(body.error || `The server answered ${answer.status}.`)
    } catch (error) {
      this.failures += 1
      this.problem = error instanceof TypeError || error.name === "TimeoutError" ? "The server cannot be reached." : error.message
    } finally {
      for (const event of batch) this.sending.delete(event.uuid)
    }
    if (this.waiting.size) this.flush(this.failures ? Math.min(30_000, 500 * 2 ** this.failures) : 0)
    this.tell({ type: "state" })
  }

  accept(batch, body) {
    this.failures = 0
    for (const event of batch) {
      this.drop(event.uuid)
      this.known.set(place(event), body.ids?.[event.uuid] ?? 0)
    }
    this.stored += body.stored ?? batch.length
    this.version = Math.max(this.version, body.version ?? 0)
    for (const conflict of body.conflicts ?? []) this.tell({ type: "conflict", conflict })
    this.tell({ type: "stored" })
  }

  refuse(batch, refused) {
    for (const event of batch) {
      if (!refused[event.uuid]) continue
      this.drop(event.uuid)
      this.tell({ type: "refused", event, reason: refused[event.uuid] })
    }
  }

  tell(news) { for (const listener of this.listeners) listener(news) }
}

const place = event => `${event.dataset}/${event.task}/${event.chip}`

// One outbox per page: it goes on sending while the person is on another page of the app.
const outbox = () => (window.__spatialnetOutbox ??= new Outbox())
