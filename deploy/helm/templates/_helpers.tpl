{{- define "arqonbus.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "arqonbus.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "arqonbus.labels" -}}
{{ include "arqonbus.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The Secret that holds ARQONBUS_* variables; empty: there is none. */ -}}
{{- define "arqonbus.secret" -}}
{{- if .Values.secrets.existingSecret -}}
{{- .Values.secrets.existingSecret -}}
{{- else if .Values.secrets.values -}}
{{- include "arqonbus.name" . -}}
{{- end -}}
{{- end -}}

{{- define "arqonbus.claim" -}}
{{- .Values.persistence.existingClaim | default (include "arqonbus.name" .) -}}
{{- end -}}

{{- define "arqonbus.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{- /* A value as text. Numbers of YAML are floats here, and large ones would be written with an exponent. */ -}}
{{- define "arqonbus.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- int64 . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- define "arqonbus.isOn" -}}
{{- if has (. | toString | lower) (list "true" "1" "yes" "on") -}}yes{{- end -}}
{{- end -}}

{{- /* What no schema can say: values that do not go with each other. */ -}}
{{- define "arqonbus.check" -}}
{{- $values := .Values -}}
{{- $backend := .Values.storage.backend -}}
{{- if and (gt (int .Values.replicas) 1) (has $backend (list "memory" "sqlite")) -}}
{{- fail (printf "replicas is %d, but nodes on storage.backend %q cannot reach each other: choose redis, valkey or postgres, or one replica." (int .Values.replicas) $backend) -}}
{{- end -}}
{{- $own := dict
  "ARQONBUS_STORAGE_BACKEND" "storage.backend" "ARQONBUS_STORAGE_MODE" "storage.mode" "ARQONBUS_SQLITE_PATH" "persistence"
  "ARQONBUS_DRAIN_SECONDS" "drainSeconds" "ARQONBUS_SHUTDOWN_SECONDS" "shutdownSeconds"
  "ARQONBUS_RULES" "rules" "ARQONBUS_RULES_FILE" "rules" "ARQONBUS_WORKERS" "replicas"
  "ARQONBUS_TLS_CERT_FILE" "tls.existingSecret" "ARQONBUS_TLS_KEY_FILE" "tls.existingSecret"
  "ARQONBUS_SERVER_PORT" "service.port" "ARQONBUS_HTTP_PORT" "" "ARQONBUS_TELEMETRY_PORT" "" "ARQONBUS_NODE_ID" "" -}}
{{- range $name, $value := $own -}}
{{- if hasKey $values.settings $name -}}
{{- if $value -}}
{{- fail (printf "settings.%s is set by the value %q: give it there." $name $value) -}}
{{- else -}}
{{- fail (printf "settings.%s is set by the chart: leave it out." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "ARQONBUS_AUTH_JWT_SECRET" "ARQONBUS_HTTP_API_KEY" "ARQONBUS_HOOK_SECRET" "ARQONBUS_REDIS_URL" "ARQONBUS_VALKEY_URL" "ARQONBUS_POSTGRES_URL" "ARQONBUS_POSTGRES_LISTEN_URL" "ARQONBUS_REDIS_PASSWORD" "ARQONBUS_VALKEY_PASSWORD" "ARQONBUS_POSTGRES_PASSWORD" -}}
{{- if hasKey $values.settings $name -}}
{{- fail (printf "settings.%s would show a secret to everybody who may read the Deployment: give it in secrets.existingSecret or secrets.values." $name) -}}
{{- end -}}
{{- end -}}
{{- $given := .Values.secrets.values -}}
{{- if and .Values.secrets.existingSecret $given -}}
{{- fail "secrets.existingSecret and secrets.values exclude each other: name a Secret, or have one made." -}}
{{- end -}}
{{- $server := dict "redis" "REDIS" "valkey" "VALKEY" "postgres" "POSTGRES" -}}
{{- if hasKey $server $backend -}}
{{- $prefix := get $server $backend -}}
{{- $url := printf "ARQONBUS_%s_URL" $prefix -}}
{{- $host := printf "ARQONBUS_%s_HOST" $prefix -}}
{{- if not (or .Values.secrets.existingSecret (hasKey $given $url) (hasKey $values.settings $host)) -}}
{{- fail (printf "storage.backend is %s, but nothing says where it is: give %s in secrets, or %s in settings." $backend $url $host) -}}
{{- end -}}
{{- end -}}
{{- if include "arqonbus.isOn" (get .Values.settings "ARQONBUS_ENABLE_AUTH") -}}
{{- if not (or .Values.secrets.existingSecret (hasKey $given "ARQONBUS_AUTH_JWT_SECRET") (hasKey $given "ARQONBUS_AUTH_JWKS_URL") (hasKey $values.settings "ARQONBUS_AUTH_JWKS_URL")) -}}
{{- fail "ARQONBUS_ENABLE_AUTH is on, but nothing says how tokens are checked: give ARQONBUS_AUTH_JWT_SECRET in secrets, or ARQONBUS_AUTH_JWKS_URL in settings." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.enabled is true, but ingress.host is empty: name the host that clients connect to." -}}
{{- end -}}
{{- end -}}
