# docker build -t arqonbus .
# docker run --rm -p 127.0.0.1:9100:9100 -p 127.0.0.1:8080:8080 arqonbus

FROM node:20-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.base.json ./
COPY packages/protocol/package.json packages/protocol/
COPY packages/client/package.json packages/client/
COPY packages/casil/package.json packages/casil/
COPY packages/bus/package.json packages/bus/
COPY packages/mcp/package.json packages/mcp/
COPY packages/dashboard/package.json packages/dashboard/
COPY packages/server/package.json packages/server/
COPY packages/server/bin packages/server/bin
# Dependencies are fetched anew only when one of the files above has changed.
RUN npm ci
COPY packages packages
COPY scripts/copy-scripts.mjs scripts/bundle-client.mjs scripts/bundle-dashboard.mjs scripts/
RUN npm run build
# ioredis and postgres stand among the development dependencies, for they are optional; the image is to run on both.
RUN mkdir /packed \
  && npm pack -w packages/protocol -w packages/client -w packages/casil -w packages/bus -w packages/server \
    --pack-destination /packed \
  && npm install --prefix /app --omit=dev --no-save --no-package-lock \
    /packed/*.tgz "ioredis@$(node -p 'require("ioredis/package.json").version')" \
    "postgres@$(node -p 'require("postgres/package.json").version')"

FROM node:20-slim
# What /version tells: --build-arg COMMIT=… --build-arg BUILD_DATE=…
ARG COMMIT=""
ARG BUILD_DATE=""
ENV NODE_ENV=production \
  PATH=/app/node_modules/.bin:$PATH \
  ARQONBUS_SERVER_HOST=0.0.0.0 \
  ARQONBUS_SQLITE_PATH=/data/arqonbus.db \
  ARQONBUS_BUILD_COMMIT=$COMMIT \
  ARQONBUS_BUILD_DATE=$BUILD_DATE
COPY --from=build /app /app
# For SQLite: the one place that is written to.
RUN mkdir /data && chown node:node /data
VOLUME /data
WORKDIR /data
USER node
EXPOSE 9100 9101 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.ARQONBUS_HTTP_PORT || 8080}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The bus ends within ARQONBUS_SHUTDOWN_SECONDS (10) of SIGTERM; give "docker stop" a little more.
STOPSIGNAL SIGTERM
ENTRYPOINT ["arqon"]
CMD ["serve"]
