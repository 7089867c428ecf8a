"""`streamlit run app.py`: the user interface, our own HTTP routes, and what runs beside them."""

from pathlib import Path

from streamlit.runtime.scriptrunner import get_script_run_ctx

# Not beside `pages/`: Streamlit would then open a deep link on a fresh server without this script.
MAIN = Path(__file__).resolve().parent / "spatialnet" / "ui" / "main.py"

if get_script_run_ctx(suppress_warning=True) is not None:
    import runpy

    runpy.run_path(str(MAIN), run_name="__main__")  # a page test runs app.py as the script itself
else:
    import streamlit as st

    from spatialnet.jobs.services import services
    from spatialnet.web.lifespan import lifespan
    from spatialnet.web.security import stack
    from spatialnet.web.server import routes

    app = st.App(MAIN, routes=routes(services().settings, services().engine), lifespan=lifespan, middleware=stack())
    if __name__ == "__main__":
        app.run()
