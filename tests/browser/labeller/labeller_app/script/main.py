import streamlit as st

from spatialnet.database import open_database
from spatialnet.datasets.packed import PackedChips
from spatialnet.label import LabelStore
from spatialnet.settings import load_settings
from spatialnet.ui.labeller import QueueItem, labeller, labeller_data

st.set_page_config(page_icon="🛰️", layout="wide")
settings = load_settings()


@st.cache_resource
def store() -> LabelStore:
    return LabelStore(open_database(settings.database_url))


data = PackedChips.open(settings.datasets / "hills")
person = st.text_input("Your name", st.query_params.get("person", "Ann"))
task = st.query_params.get("task", "land_use")
if "desk" not in st.session_state:
    scores = {"land_use": [0.1, 0.7, 0.2], "rural_urban": [float("nan"), 0.5]}
    queue = [QueueItem(chip, f"place {chip}", scores) for chip in range(len(data))]
    st.session_state.desk = labeller_data(data, store(), queue, person=person, task=task, run="run-1")
if st.toggle("Show the desk", True):
    saved = labeller(st.session_state.desk, key="desk")
    if saved:
        st.session_state.saved = saved
counts = store().counts(data.name, task)
st.text(f"stored {counts.labelled} reported {st.session_state.get('saved', {}).get('stored', 0)}")
