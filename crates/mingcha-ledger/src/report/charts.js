for (const place of document.querySelectorAll(".chart")) {
  const option = JSON.parse(document.getElementById(place.dataset.option).textContent);
  option.textStyle = { fontFamily: getComputedStyle(document.body).fontFamily };
  echarts.init(place, null, { renderer: "svg", width: 680, height: Number(place.dataset.height) }).setOption(option);
}
