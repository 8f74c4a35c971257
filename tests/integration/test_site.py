"""The site as a reader sees it: built strictly, opened in a browser, wide and narrow, and searched."""

import functools
import queue
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("material", reason="the extra 'site' is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
ROOT = Path(__file__).resolve().parents[2]
PAGES = ["index", "comparison", "reference/attacks"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site; a link that leads nowhere or a page without a place in the menu would end the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


# A page in a frame, and what it tells once it can: how wide it is, and what a search found.
FRAME = """<link rel=icon href=data:,><body style="margin:0">
<iframe id=f src="/{page}" style="border:0;width:{width}px;height:1600px" onload="wide()"></iframe><script>
function wide() {{
  const d = f.contentDocument.documentElement;
  document.title = [d.clientWidth, d.scrollWidth, d.scrollHeight].join(" ");
}}
setInterval(() => {{
  const links = [...f.contentDocument.querySelectorAll("a.md-search-result__link")].map(link => link.pathname);
  if (links.length) fetch("/found?" + links.join(" "));
}}, 300);
</script>"""


class _Handler(SimpleHTTPRequestHandler):
    """Serves the site, at /frame/WIDTH/PAGE a page in a frame, and puts what a search found into the server's ``found``."""

    def do_GET(self):
        if self.path.startswith("/found?"):
            self.server.found.put(unquote(self.path.partition("?")[2]).split())
        wanted = re.match(r"/frame/(\d+)/(.*)", self.path)
        if wanted is None:
            return super().do_GET()
        body = FRAME.format(width=wanted[1], page=wanted[2]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=site)) as server:
        server.found = queue.Queue()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def browser(tmp_path, server):
    """The command that opens a page of the server. No other host can be reached."""
    if BROWSER is None:
        pytest.skip("there is no Chromium to open the site in")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--window-size=1280,1600"]
    options += [f"--user-data-dir={tmp_path / 'profile'}"]
    return lambda page, *more: [BROWSER, *options, *more, f"http://127.0.0.1:{server.server_port}/{page}"]


def test_nothing_comes_from_another_host(site):
    pages = [page.read_text(encoding="utf-8") for page in site.rglob("*.html")]
    assert len(pages) > 30
    for page in pages:
        assert re.findall(r'<(?:script|img|iframe|link rel="stylesheet")[^>]*(?:src|href)="(?:https?:)?//', page) == []
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 12_000_000


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_scroll_bar_below_and_no_error(browser, page, width):
    command = browser(f"frame/{width}/{page}.html", "--dump-dom")
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    client, scrolled, height = map(int, re.search(r"<title>(\d+) (\d+) (\d+)", seen.stdout).groups())
    assert (client, scrolled) == (width, width)
    assert height > 1000
    assert [line for line in seen.stderr.splitlines() if "CONSOLE" in line] == []


def test_the_search_finds_pages(browser, server):
    command = browser("frame/1280/index.html?q=licensee")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            found = server.found.get(timeout=120)
        finally:
            process.terminate()
    assert any("one-copy-per-customer" in link for link in found)
