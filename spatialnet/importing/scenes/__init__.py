"""Chips cut from scenes: grids, land cover, label polygons, and the rules that turn them into targets."""
