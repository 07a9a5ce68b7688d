{{/* What the parts have in common. Each takes (dict "root" $ "part" "join"). */}}

{{- define "postwatch.name" -}}
{{ printf "%s-%s" .root.Release.Name .part | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "postwatch.selector" -}}
app.kubernetes.io/name: postwatch
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "postwatch.labels" -}}
{{ include "postwatch.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "postwatch.image" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{/* Of the pod. Kubernetes would add variables of its own, which the settings refuse. */}}
{{- define "postwatch.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "postwatch.placement" -}}
{{- $part := index .root.Values .part -}}
{{- with $part.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "postwatch.selector" . | nindent 8 }}
{{- end }}

{{- define "postwatch.rights" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The password of a part at a server, if there is one: its variable names a file of the volume "secrets". */}}
{{- define "postwatch.kafka" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $user := index $kafka.users .part -}}
- {name: POSTWATCH_KAFKA_BROKERS, value: {{ $kafka.brokers | quote }}}
- {name: POSTWATCH_KAFKA_SECURITY_PROTOCOL, value: {{ $kafka.securityProtocol }}}
{{- if hasPrefix "sasl_" $kafka.securityProtocol }}
- {name: POSTWATCH_KAFKA_SASL_MECHANISM, value: {{ $kafka.saslMechanism }}}
- {name: POSTWATCH_KAFKA_SASL_USERNAME, value: {{ $user.name | quote }}}
- {name: POSTWATCH_KAFKA_SASL_PASSWORD_FILE, value: /run/secrets/postwatch/kafka}
{{- end }}
{{- if $kafka.ca.secret }}
- {name: POSTWATCH_KAFKA_SSL_CA_FILE, value: /run/secrets/postwatch/kafka-ca}
{{- end }}
{{- end }}

{{- define "postwatch.clickhouse" -}}
{{- $clickhouse := .root.Values.clickhouse -}}
{{- $user := index $clickhouse.users .part -}}
- {name: POSTWATCH_CLICKHOUSE_URL, value: {{ $clickhouse.url | quote }}}
- {name: POSTWATCH_CLICKHOUSE_DATABASE, value: {{ $clickhouse.database | quote }}}
- {name: POSTWATCH_CLICKHOUSE_USER, value: {{ $user.name | quote }}}
{{- if $user.secret }}
- {name: POSTWATCH_CLICKHOUSE_PASSWORD_FILE, value: /run/secrets/postwatch/clickhouse}
{{- end }}
{{- end }}

{{- define "postwatch.settings" -}}
{{- range $name, $value := (index .root.Values .part).settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* The files of the volume "secrets", as sources of a projected volume. */}}
{{- define "postwatch.secrets" -}}
{{- $kafka := .root.Values.kafka -}}
{{- if hasPrefix "sasl_" $kafka.securityProtocol }}
{{- $user := index $kafka.users .part }}
- secret: {name: {{ $user.secret }}, items: [{key: {{ $user.key }}, path: kafka}]}
{{- end }}
{{- if $kafka.ca.secret }}
- secret: {name: {{ $kafka.ca.secret }}, items: [{key: {{ $kafka.ca.key }}, path: kafka-ca}]}
{{- end }}
{{- with index .root.Values.clickhouse.users .part }}
{{- if .secret }}
- secret: {name: {{ .secret }}, items: [{key: {{ .key }}, path: clickhouse}]}
{{- end }}
{{- end }}
{{- if and (has .part (list "serve" "push")) .root.Values.serve.state.secret }}
- secret: {name: {{ .root.Values.serve.state.secret }}, items: [{key: {{ .root.Values.serve.state.key }}, path: state}]}
{{- end }}
{{- end }}

{{- define "postwatch.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with include "postwatch.secrets" . | trim }}
- name: secrets
  projected:
    defaultMode: 0440
    sources: {{ . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "postwatch.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "postwatch.secrets" . | trim }}
- {name: secrets, mountPath: /run/secrets/postwatch, readOnly: true}
{{- end }}
{{- end }}

{{/* No probe asks for Kafka or ClickHouse: an outage restarts nothing. A pod is ready once it has begun to work. */}}
{{- define "postwatch.probes" -}}
startupProbe:
  httpGet: {path: /alive, port: metrics}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /alive, port: metrics}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
