# Three stages: what builds stays behind. docs/docker.md says how to run it and what of it was tried.
FROM node:24-slim AS app
WORKDIR /src/pwa
COPY pwa/package.json pwa/package-lock.json pwa/.npmrc ./
RUN npm ci
COPY pwa ./
RUN npm run build

FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv /opt/relaypacs \
    && /opt/relaypacs/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY tools tools
COPY gateway gateway
COPY hooks hooks
COPY --from=app /src/gateway/web/static gateway/web/static
RUN /opt/relaypacs/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/relaypacs/bin/python -m pip uninstall --quiet --yes setuptools \
    && /opt/relaypacs/bin/python -m pip uninstall --quiet --yes pip

FROM python:3.11-slim
RUN groupadd --system --gid 10001 relaypacs \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/relaypacs --no-create-home --shell /usr/sbin/nologin relaypacs \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/relaypacs \
    && install --directory --mode 0755 /etc/relaypacs
COPY --from=build /opt/relaypacs /opt/relaypacs
ENV PATH=/opt/relaypacs/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RELAYPACS_CONFIG=/etc/relaypacs/relaypacs.toml
USER 10001:10001
WORKDIR /var/relaypacs
VOLUME /var/relaypacs
EXPOSE 8080
# SIGTERM drains: give it longer than server.drain_seconds (docker stop --time 30).
STOPSIGNAL SIGTERM
ENTRYPOINT ["relaypacs"]
CMD ["serve"]
