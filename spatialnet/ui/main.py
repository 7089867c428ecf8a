"""The script that Streamlit runs: the frame around every page."""

import streamlit as st

from spatialnet.ui.frame import sidebar
from spatialnet.ui.navigation import all_pages

st.set_page_config(page_title="SpatialNet", page_icon="🛰️", layout="wide")
chosen = st.navigation(all_pages())
sidebar()
chosen.run()
