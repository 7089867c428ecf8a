/* Controls for the map inside streamlit-folium's frame. They find their layers by class name, so layers may come and go:
 *   sn-overlay   follows the opacity control
 *   sn-why       an attribution; it and sn-overlay vanish while H is held
 *   sn-left      shown left of the swipe line;  sn-right  shown right of it
 * Part of SpatialNet, Apache-2.0. */
(() => {
  // Streamlit-folium does not wait for the style sheet that Leaflet guesses this path from.
  L.Icon.Default.imagePath = "/assets/leaflet/images/"

  // A click carries the zoom as its altitude: what counts as near depends on it, and the zoom alone must not run the page.
  L.Map.addInitHook(function () { this.on("click", event => { event.latlng.alt = this.getZoom() }) })

  const style = document.createElement("style")
  style.textContent = `
    .leaflet-container { font: 13px/1.4 "Source Sans", "Source Sans Pro", system-ui, sans-serif; background: #e9ecef; }
    .leaflet-tile { image-rendering: pixelated; }
    .sn-control { display: flex; align-items: center; gap: 8px; padding: 6px 10px; background: rgba(255,255,255,.94);
      color: #262730; border-radius: 6px; }
    .sn-control input { width: 110px; accent-color: #1f6feb; cursor: pointer; }
    .sn-control output { min-width: 3.2em; text-align: right; font-variant-numeric: tabular-nums; }
    .sn-swipe { position: absolute; top: 0; bottom: 0; width: 32px; margin-left: -16px; z-index: 800; cursor: ew-resize;
      touch-action: none; outline: none; }
    .sn-swipe::before { content: ""; position: absolute; top: 0; bottom: 0; left: 15px; width: 2px; background: #fff;
      box-shadow: 0 0 3px rgba(0,0,0,.7); }
    .sn-swipe::after { content: "\\2039\\2009\\203A"; position: absolute; top: 50%; left: 0; width: 32px; height: 32px;
      margin-top: -16px; border-radius: 50%; background: #fff; color: #262730; font: 600 18px/29px system-ui;
      text-align: center; box-shadow: 0 1px 4px rgba(0,0,0,.5); }
    .sn-swipe:focus-visible::after, .sn-control input:focus-visible, .leaflet-container a:focus-visible {
      outline: 3px solid #1f6feb; outline-offset: 1px; }
    .sn-drawing { cursor: crosshair !important; }
    .sn-area a { font-size: 17px; }
    .sn-area a[aria-pressed="true"] { background: #1f6feb; color: #fff; }
    .sn-peek .sn-overlay, .sn-peek .sn-why { opacity: 0 !important; }
    .sn-side { position: absolute; top: 10px; z-index: 800; padding: 2px 10px; border-radius: 10px; color: #fff;
      background: rgba(20,22,28,.72); pointer-events: none; white-space: nowrap; }`
  document.head.appendChild(style)

  const withClass = (map, name, then) => map.eachLayer(layer => {
    if (` ${layer.options.className || ""} `.includes(` ${name} `)) then(layer)
  })
  const remembered = (key, value) => {
    try {
      if (value !== undefined) sessionStorage.setItem(key, value)
      return sessionStorage.getItem(key)
    } catch { return null }
  }

  /* The first view, as soon as the frame has its size: `at` [latitude, longitude, zoom], or all of the bounds. Leaflet's own way
   * waits for no size. Where it is shared, the view then stands in the page's address, so that a link holds it; the page need not run for that. */
  L.snFit = (map, bounds, at, shared) => {
    const fit = () => {
      if (!map.getSize().x || !map.getSize().y) return
      map.off("resize", fit)
      if (at) map.setView([at[0], at[1]], at[2], { animate: false })
      else map.fitBounds(bounds, { padding: [8, 8], animate: false })
      if (shared) map.on("moveend", () => {
        const { lat, lng } = map.getCenter(), page = window.parent, address = new URL(page.location)
        address.searchParams.set("at", `${lat.toFixed(5)},${lng.toFixed(5)},${map.getZoom()}`)
        page.history.replaceState(page.history.state, "", address)
      })
    }
    map.on("resize", fit)
    map.invalidateSize()
    fit()
  }

  /* One slider for the opacity of every sn-overlay layer. options: label, value 0..1, position. */
  L.Control.SNOpacity = L.Control.extend({
    options: { position: "bottomleft", label: "Opacity", value: 0.7 },
    onAdd(map) {
      this._value = Number(remembered("sn-opacity") ?? this.options.value)
      const box = L.DomUtil.create("label", "sn-control leaflet-bar")
      L.DomUtil.create("span", "", box).textContent = this.options.label
      const slider = L.DomUtil.create("input", "", box)
      Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05, value: this._value })
      slider.setAttribute("aria-label", `${this.options.label} of the overlay`)
      const shown = L.DomUtil.create("output", "", box)
      this._apply = () => {
        shown.textContent = `${Math.round(this._value * 100)} %`
        withClass(map, "sn-overlay", layer => layer.setOpacity(this._value))
      }
      slider.addEventListener("input", () => {
        this._value = Number(slider.value)
        remembered("sn-opacity", this._value)
        this._apply()
      })
      L.DomEvent.disableClickPropagation(box)
      map.on("layeradd", this._apply)
      this._apply()
      return box
    },
    onRemove(map) { map.off("layeradd", this._apply) },
  })
  L.control.snOpacity = options => new L.Control.SNOpacity(options)

  /* A line to drag: sn-left layers are shown left of it, sn-right layers right of it. options: left, right (texts). */
  L.Control.SNSwipe = L.Control.extend({
    options: { position: "topright", left: "", right: "" },
    onAdd(map) {
      this._share = Number(remembered("sn-swipe") ?? 0.5)
      const frame = map.getContainer()
      const line = this._line = L.DomUtil.create("div", "sn-swipe", frame)
      Object.assign(line, { tabIndex: 0, role: "slider", ariaLabel: "Swipe between two layers", ariaValueMin: 0, ariaValueMax: 100 })
      line.setAttribute("aria-orientation", "horizontal")
      this._sides = ["left", "right"].map(side => {
        const text = L.DomUtil.create("div", "sn-side", frame)
        text.textContent = this.options[side]
        text.hidden = !this.options[side]
        return text
      })
      this._apply = () => this._clip(map)
      const move = share => {
        this._share = Math.min(1, Math.max(0, share))
        remembered("sn-swipe", this._share)
        this._apply()
      }
      line.addEventListener("pointerdown", event => {
        line.setPointerCapture(event.pointerId)
        const drag = e => move((e.clientX - frame.getBoundingClientRect().left) / frame.clientWidth)
        line.addEventListener("pointermove", drag)
        line.addEventListener("lostpointercapture", () => line.removeEventListener("pointermove", drag), { once: true })
      })
      line.addEventListener("keydown", event => {
        const step = { ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1 }[event.key]
        if (step === undefined) return
        event.preventDefault(); event.stopPropagation()
        move(this._share + step)
      })
      L.DomEvent.disableClickPropagation(line)
      map.on("move zoomend resize layeradd", this._apply)
      requestAnimationFrame(this._apply)
      return L.DomUtil.create("div")
    },
    onRemove(map) {
      map.off("move zoomend resize layeradd", this._apply)
      for (const part of [this._line, ...this._sides]) part.remove()
      for (const name of ["sn-left", "sn-right"]) withClass(map, name, layer => this._element(layer)?.style.removeProperty("clip"))
    },
    _element: layer => layer.getContainer?.() ?? layer.getElement?.(),
    _clip(map) {
      const size = map.getSize(), x = size.x * this._share
      this._line.style.left = `${x}px`
      this._line.ariaValueNow = Math.round(this._share * 100)
      this._sides[0].style.right = `${size.x - x + 22}px`
      this._sides[1].style.left = `${x + 22}px`
      const from = map.containerPointToLayerPoint([0, 0]), to = map.containerPointToLayerPoint(size), cut = from.x + x
      const clip = (name, left, right) => withClass(map, name, layer => {
        const element = this._element(layer)
        if (!element) return
        // An image overlay's own origin is its corner, a tile layer's is the map's.
        const own = layer instanceof L.ImageOverlay ? L.DomUtil.getPosition(element) : L.point(0, 0)
        element.style.clip = `rect(${from.y - own.y}px,${right - own.x}px,${to.y - own.y}px,${left - own.x}px)`
      })
      clip("sn-left", from.x, cut)
      clip("sn-right", cut, to.x)
    },
  })
  /* The line is there while there is something to compare. */
  L.snSwipe = map => {
    const swipe = new L.Control.SNSwipe()
    let shown = false
    const look = () => {
      let wanted = false
      withClass(map, "sn-right", () => { wanted = true })
      if (wanted === shown) return
      shown = wanted
      if (wanted) swipe.addTo(map); else swipe.remove()
    }
    map.on("layeradd layerremove", look)
    look()
  }

  /* Two buttons that choose an area: by a drag, or all that is in view. It goes to the page as a drawing. */
  L.Control.SNArea = L.Control.extend({
    options: { position: "topleft" },
    onAdd(map) {
      const bar = L.DomUtil.create("div", "leaflet-bar sn-area"), frame = map.getContainer()
      const button = (text, title, act) => {
        const link = L.DomUtil.create("a", "", bar)
        Object.assign(link, { href: "#", title, textContent: text, role: "button", ariaLabel: title })
        link.addEventListener("click", event => { event.preventDefault(); act() })
        link.addEventListener("keydown", event => { if (event.key === " ") { event.preventDefault(); act() } })
        return link
      }
      const tell = bounds => map.fire("draw:created", { layerType: "rectangle", layer: L.rectangle(bounds) })
      let box = null, start = null
      const draw = button("\u25AD", "Draw an area: drag over the map; Escape to stop", () => arm(!armed()))
      button("\u25A3", "Take what is in view as the area", () => tell(map.getBounds()))
      const armed = () => frame.classList.contains("sn-drawing")
      const arm = on => {
        frame.classList.toggle("sn-drawing", on)
        draw.ariaPressed = on
        map.dragging[on ? "disable" : "enable"]()
        box?.remove(); box = start = null
      }
      const down = event => {
        if (!armed() || event.button || event.target.closest(".leaflet-control, .sn-swipe")) return
        event.preventDefault(); event.stopPropagation()
        start = map.mouseEventToLatLng(event)
        frame.setPointerCapture(event.pointerId)
      }
      const move = event => {
        if (!start) return
        const bounds = L.latLngBounds(start, map.mouseEventToLatLng(event))
        box = box?.setBounds(bounds) ?? L.rectangle(bounds, { color: "#1f6feb", weight: 2, interactive: false }).addTo(map)
      }
      const up = () => {
        if (!start) return
        const bounds = box?.getBounds()
        arm(false)
        // The click that ends the drag is no click on a chip.
        frame.addEventListener("click", event => event.stopPropagation(), { capture: true, once: true })
        setTimeout(() => frame.click(), 0)
        if (bounds) tell(bounds)
      }
      frame.addEventListener("pointerdown", down, true)
      frame.addEventListener("pointermove", move)
      frame.addEventListener("pointerup", up)
      window.addEventListener("keydown", event => { if (event.key === "Escape" && armed()) arm(false) })
      L.DomEvent.disableClickPropagation(bar)
      return bar
    },
  })
  L.control.snArea = options => new L.Control.SNArea(options)

  /* While H is held, here or in the app's page, the image lies bare. The page outlives this frame, so its listeners go with it. */
  const peek = on => document.documentElement.classList.toggle("sn-peek", on)
  const gone = new AbortController()
  for (const place of new Set([window, window.parent])) {
    place.addEventListener("keydown", event => {
      const target = event.composedPath()[0]
      if (event.ctrlKey || event.metaKey || event.altKey || event.key?.toLowerCase() !== "h") return
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== "range" || target.isContentEditable) return
      peek(true)
    }, { capture: true, signal: gone.signal })
    place.addEventListener("keyup", event => { if (event.key?.toLowerCase() === "h") peek(false) },
      { capture: true, signal: gone.signal })
    place.addEventListener("blur", () => peek(false), { signal: gone.signal })
  }
  window.addEventListener("pagehide", () => gone.abort())

  // Keys pressed while the map has the focus never reach the app's page: pass letters, digits, ? and Escape on (same origin).
  for (const type of ["keydown", "keyup"]) window.addEventListener(type, event => {
    if (window.parent === window || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return
    if (!/^([a-z0-9?]|Escape)$/i.test(event.key)) return
    const { key, code, ctrlKey, shiftKey, altKey, metaKey, repeat } = event
    window.parent.document.body.dispatchEvent(new window.parent.KeyboardEvent(type, {
      key, code, ctrlKey, shiftKey, altKey, metaKey, repeat, bubbles: true, cancelable: true, composed: true,
    }))
  })
})()
