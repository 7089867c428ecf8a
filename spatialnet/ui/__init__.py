"""The user interface: the only room that knows Streamlit and folium."""
