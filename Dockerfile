# One static image for every service: siomesh up | edge | rooms | auth, and the chat demo as /usr/local/bin/chat.

FROM node:22-alpine AS client
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/bin/ ./cmd/siomesh ./examples/chat
RUN mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/bin/ /usr/local/bin/
# What the edge serves at /socket.io/socket.io.js.
COPY --from=client /src/node_modules/socket.io-client/dist/ /srv/socket.io-client/
# The state of `up`: mount a volume here to keep it.
COPY --from=build --chown=65532:65532 /out/data/ /data/
ENV SIOMESH_CLIENT_DIR=/srv/socket.io-client SIOMESH_DATA_DIR=/data
USER 65532:65532
EXPOSE 3000
ENTRYPOINT ["/usr/local/bin/siomesh"]
