"""A Streamlit server with our routes and one page that holds the labeller. The workspace comes from SPATIALNET_DATA."""

from pathlib import Path

import streamlit as st

from spatialnet.database import open_database
from spatialnet.settings import load_settings
from spatialnet.web import routes, stack

settings = load_settings()
app = st.App(
    Path(__file__).parent / "script" / "main.py",
    routes=routes(settings, open_database(settings.database_url)),
    middleware=stack(),
)
