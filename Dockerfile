FROM python:3.13-slim

WORKDIR /opt/calapp
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY app.py gunicorn.conf.py ./
COPY calapp calapp
COPY static static
COPY templates templates
# The file system may be read-only at run time.
RUN python -m compileall -q app.py calapp

# A number, by which an orchestrator can tell that it is not root, and to whom a volume must belong.
RUN useradd --uid 10001 --home-dir /var/lib/calapp --no-create-home calapp && install -d -m 700 -o calapp /var/lib/calapp
USER 10001
ENV CALAPP_DATA_DIR=/var/lib/calapp \
    HOST=0.0.0.0 \
    PYTHONUNBUFFERED=1
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/healthz', timeout=4)"]
CMD ["gunicorn", "app:create_app()"]
