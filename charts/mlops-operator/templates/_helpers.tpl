{{- define "mlops-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mlops-operator.selectorLabels" -}}
app.kubernetes.io/name: mlops-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mlops-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{ include "mlops-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Short enough for the name of its second Service, which ends with -gateway-admin. */ -}}
{{- define "mlops-operator.gatewayName" -}}
{{- printf "%s-gateway" (include "mlops-operator.fullname" . | trunc 49 | trimSuffix "-") -}}
{{- end -}}

{{- /* The policies of Endpoints admit the pods of this name. */ -}}
{{- define "mlops-operator.gatewaySelectorLabels" -}}
app.kubernetes.io/name: mlops-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "mlops-operator.gatewayLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{ include "mlops-operator.gatewaySelectorLabels" . }}
app.kubernetes.io/component: gateway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "mlops-operator.gatewayServiceAccountName" -}}
{{- .Values.gateway.serviceAccount.existing | default (include "mlops-operator.gatewayName" .) -}}
{{- end -}}

{{- define "mlops-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.existing | default (include "mlops-operator.fullname" .) -}}
{{- end -}}

{{- /* The name of an image: takes a dictionary of the image's values and of the chart's version. */ -}}
{{- define "mlops-operator.image" -}}
{{- $name := .image.repository -}}
{{- with .image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .version) -}}
{{- end -}}
{{- end -}}

{{- define "mlops-operator.modelServerImage" -}}
{{- include "mlops-operator.image" (dict "image" .Values.modelServer.image "version" .Chart.AppVersion) -}}
{{- end -}}

{{- define "mlops-operator.proxyEnv" -}}
{{- with .Values.proxy.httpProxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.httpsProxy }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.noProxy }}
- name: NO_PROXY
  value: {{ . | quote }}
{{- end }}
{{- end -}}
